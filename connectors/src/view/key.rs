//! The template of a row's key: text with `{column}` in it.
//!
//! ```text
//! "product:{shop}:{id}"   +   {"id":7,"shop":"a:b"}   ->   product:a%3Ab:7
//! ```
//! `{{` and `}}` are literal braces. `:` `%` `{` `}` inside a column's value are percent-encoded, so two
//! rows never share a key. A binary column appears as its base64 text. The columns are those of the
//! primary key, all of them and nothing else: only then is a view a fold of the log.
use headrace_clients::change::Row;

use crate::value::{self, ValueError};

/// A parsed key template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyTemplate {
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Column(String),
}

impl KeyTemplate {
    /// Parses; the error says what is wrong, for people.
    pub fn parse(template: &str) -> Result<KeyTemplate, &'static str> {
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = template;
        while let Some(at) = rest.find(['{', '}']) {
            text.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            let after = &rest[at + 1..];
            if let Some(tail) = after.strip_prefix(brace) {
                text.push_str(brace);
                rest = tail;
                continue;
            }
            if brace == "}" {
                return Err("a } stands alone; write }} for a literal brace");
            }
            let end = after
                .find(['{', '}'])
                .ok_or("a { is not closed; write {{ for a literal brace")?;
            if !after[end..].starts_with('}') || after[..end].is_empty() {
                return Err("a column is written {name}");
            }
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text)));
            }
            parts.push(Part::Column(after[..end].to_owned()));
            rest = &after[end + 1..];
        }
        text.push_str(rest);
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        let template = KeyTemplate { parts };
        if template.columns().next().is_none() {
            return Err("the key needs the columns of the primary key, such as `product:{id}`");
        }
        Ok(template)
    }

    /// The literal text before the first column.
    pub fn prefix(&self) -> &str {
        match self.parts.first() {
            Some(Part::Text(text)) => text,
            _ => "",
        }
    }

    /// Names of its columns, in order, possibly repeated.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Column(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The key of a row, from the columns of its record's key.
    ///
    /// # Errors
    /// With the column's name, when the record's key lacks it or holds no scalar there.
    pub fn render(&self, key: &Row<'_>) -> Result<String, (String, ValueError)> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Column(name) => {
                    let json = key.get(name).unwrap_or("null");
                    let text = match json {
                        "null" => Err(ValueError::new("a value of the primary key", json)),
                        json => value::text(json),
                    };
                    let text = text.map_err(|error| (name.clone(), error))?;
                    push_encoded(&mut out, &text);
                }
            }
        }
        Ok(out)
    }
}

fn push_encoded(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            ':' => out.push_str("%3A"),
            '%' => out.push_str("%25"),
            '{' => out.push_str("%7B"),
            '}' => out.push_str("%7D"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(template: &str, key: &str) -> String {
        let key = Row::parse(key.as_bytes()).unwrap();
        KeyTemplate::parse(template).unwrap().render(&key).unwrap()
    }

    #[test]
    fn columns_are_put_in_and_encoded() {
        assert_eq!(render("product:{id}", r#"{"id":7}"#), "product:7");
        assert_eq!(
            render("{a}:{b}", r#"{"a":"x:y","b":"{100%}ä"}"#),
            "x%3Ay:%7B100%25%7Dä"
        );
        assert_eq!(render("{{p}}:{id}}}", r#"{"id":-1}"#), "{p}:-1}");
        assert_eq!(render("{tüte d}", r#"{"tüte d":"a b\n"}"#), "a b\n");
    }

    #[test]
    fn rows_with_like_values_keep_distinct_keys() {
        let one = render("p:{a}:{b}", r#"{"a":"x:","b":"y"}"#);
        let two = render("p:{a}:{b}", r#"{"a":"x","b":":y"}"#);
        assert_ne!(one, two);
        assert_ne!(
            render("{a}", r#"{"a":"%3A"}"#),
            render("{a}", r#"{"a":":"}"#)
        );
    }

    #[test]
    fn the_prefix_is_the_text_before_the_first_column() {
        for (template, prefix) in [
            ("product:{id}", "product:"),
            ("{id}", ""),
            ("{{x}}{id}:", "{x}"),
        ] {
            assert_eq!(KeyTemplate::parse(template).unwrap().prefix(), prefix);
        }
    }

    #[test]
    fn malformed_templates_are_refused() {
        for bad in [
            "", "plain", "{", "}", "a}b{id}", "{id", "{}", "{{id}}", "{a{b}}", "{id}}",
        ] {
            assert!(KeyTemplate::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_key_without_the_column_is_an_error() {
        let template = KeyTemplate::parse("{id}").unwrap();
        for key in [r#"{"x":1}"#, r#"{"id":null}"#, r#"{"id":[1]}"#] {
            let key = Row::parse(key.as_bytes()).unwrap();
            assert_eq!(template.render(&key).unwrap_err().0, "id");
        }
    }
}
