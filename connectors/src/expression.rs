//! The `where` of a view: CEL comparisons of columns with literals, joined by `&&`, `||`, `!`.
//!
//! ```text
//! text --limits--> cel's parser --walk--> Filter (columns by name) --bind(schema)--> BoundFilter --row--> bool
//!      4 KiB, depth 64                     no schema needed            types checked, literals converted
//! ```
//! The text is parsed by the `cel` crate; its evaluation is ours, because CEL's own answers are wrong
//! for rows (NULL, DECIMAL text). Any expression outside this subset is refused by name. A comparison
//! with NULL is false. There is no clock and no randomness: a replay gives the same answer.
//! Strings compare byte by byte, without a collation.
mod bound;
#[cfg(test)]
mod tests;

use cel::common::ast::{CallExpr, Expr, IdedExpr, LiteralValue, SourceInfo, operators};
use cel::parser::Parser;

pub use bound::{BindError, BoundFilter};

/// Longest text of an expression, in bytes.
pub const TEXT_BYTES_MAX: usize = 4 * 1024;
/// Most brackets that are open at once, and most operators in a row; deeper text could exhaust the parser's stack.
pub const DEPTH_MAX: usize = 64;
/// Why text is no filter, with what to write instead where that is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// Longer than [`TEXT_BYTES_MAX`].
    #[error("the expression has {0} bytes, at most {TEXT_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// Deeper than [`DEPTH_MAX`].
    #[error("the expression is nested deeper than {DEPTH_MAX}")]
    TooDeep,
    /// Not CEL.
    #[error("the expression cannot be read: {message}")]
    Syntax {
        /// The parser's words, with line and column.
        message: String,
        /// What SQL users mean, in CEL.
        hint: Option<&'static str>,
    },
    /// CEL, but outside the subset.
    #[error("not yet supported: {what}")]
    Unsupported {
        /// The construct, by name.
        what: String,
        /// What to write instead.
        hint: Option<&'static str>,
    },
}

impl ExpressionError {
    /// What to do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            ExpressionError::TooLong(_) | ExpressionError::TooDeep => {
                Some("split the view, or compare fewer things")
            }
            ExpressionError::Syntax { hint, .. } | ExpressionError::Unsupported { hint, .. } => {
                *hint
            }
        }
    }
}

/// A parsed filter; its columns are names until it is bound to a schema.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    root: Node,
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Not(Box<Node>),
    Compare(Comparison),
}

#[derive(Debug, Clone, PartialEq)]
struct Comparison {
    column: String,
    operator: Operator,
    literal: Literal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
}

/// A literal; numbers keep the digits that were written, so that DECIMAL stays exact.
#[derive(Debug, Clone, PartialEq)]
enum Literal {
    Int(i128),
    Double(String),
    Text(String),
    Bool(bool),
}

impl Filter {
    /// Parses and checks everything that needs no schema.
    pub fn parse(text: &str) -> Result<Filter, ExpressionError> {
        check_limits(text)?;
        parse(text)
    }

    /// Names of all columns that are compared, in order of appearance, possibly repeated.
    pub fn columns(&self) -> Vec<&str> {
        let mut names = Vec::new();
        self.root.collect_columns(&mut names);
        names
    }
}

impl Node {
    fn collect_columns<'a>(&'a self, names: &mut Vec<&'a str>) {
        match self {
            Node::And(a, b) | Node::Or(a, b) => {
                a.collect_columns(names);
                b.collect_columns(names);
            }
            Node::Not(a) => a.collect_columns(names),
            Node::Compare(comparison) => names.push(&comparison.column),
        }
    }
}

fn parse(text: &str) -> Result<Filter, ExpressionError> {
    let (ast, source) = Parser::new()
        .parse_with_source_info(text)
        .map_err(|errors| {
            let first = errors.errors.first();
            let message = first.map_or_else(
                || "syntax error".to_owned(),
                |error| {
                    format!(
                        "line {}, column {}: {}",
                        error.pos.0, error.pos.1, error.msg
                    )
                },
            );
            syntax(message, text)
        })?;
    let root = Walk { source: &source }.node(&ast)?;
    Ok(Filter { root })
}

/// Turns the parser's tree into ours, refusing what is outside the subset.
struct Walk<'a> {
    source: &'a SourceInfo,
}

impl Walk<'_> {
    fn node(&self, at: &IdedExpr) -> Result<Node, ExpressionError> {
        let Expr::Call(call) = &at.expr else {
            return Err(not_a_comparison(&at.expr));
        };
        match (call.func_name.as_str(), call.args.as_slice()) {
            (operators::LOGICAL_AND, [a, b]) => Ok(Node::And(self.boxed(a)?, self.boxed(b)?)),
            (operators::LOGICAL_OR, [a, b]) => Ok(Node::Or(self.boxed(a)?, self.boxed(b)?)),
            (operators::LOGICAL_NOT, [a]) => Ok(Node::Not(self.boxed(a)?)),
            (name, [a, b]) => match comparison_operator(name) {
                Some(operator) => self.comparison(operator, a, b),
                None => Err(unsupported_call(call)),
            },
            _ => Err(unsupported_call(call)),
        }
    }

    fn boxed(&self, at: &IdedExpr) -> Result<Box<Node>, ExpressionError> {
        self.node(at).map(Box::new)
    }

    fn comparison(
        &self,
        operator: Operator,
        left: &IdedExpr,
        right: &IdedExpr,
    ) -> Result<Node, ExpressionError> {
        let (column, operator, literal) = match (self.operand(left)?, self.operand(right)?) {
            (Operand::Column(column), Operand::Literal(literal)) => (column, operator, literal),
            (Operand::Literal(literal), Operand::Column(column)) => {
                (column, operator.mirrored(), literal)
            }
            (Operand::Column(_), Operand::Column(_)) => {
                return Err(unsupported("the comparison of two columns", None));
            }
            (Operand::Literal(_), Operand::Literal(_)) => {
                return Err(unsupported("the comparison of two literals", None));
            }
        };
        Ok(Node::Compare(Comparison {
            column,
            operator,
            literal,
        }))
    }

    fn operand(&self, at: &IdedExpr) -> Result<Operand, ExpressionError> {
        match &at.expr {
            Expr::Ident(name) => Ok(Operand::Column(name.clone())),
            Expr::Literal(literal) => self.literal(at.id, literal).map(Operand::Literal),
            Expr::Call(call) => match (call.func_name.as_str(), call.args.as_slice()) {
                (operators::INDEX, [row, name]) => {
                    indexed_column(row, name).ok_or_else(|| unsupported_call(call))
                }
                (operators::NEGATE, [of]) => match &of.expr {
                    Expr::Literal(literal) => {
                        negated(self.literal(of.id, literal)?).map(Operand::Literal)
                    }
                    _ => Err(unsupported_call(call)),
                },
                _ => Err(unsupported_call(call)),
            },
            other => Err(not_a_comparison(other)),
        }
    }

    fn literal(&self, id: u64, literal: &LiteralValue) -> Result<Literal, ExpressionError> {
        match literal {
            LiteralValue::Int(value) => Ok(Literal::Int(i128::from(*value.inner()))),
            LiteralValue::UInt(value) => Ok(Literal::Int(i128::from(*value.inner()))),
            LiteralValue::Double(value) => self.double(id, *value.inner()).map(Literal::Double),
            LiteralValue::String(value) => Ok(Literal::Text(value.inner().to_owned())),
            LiteralValue::Boolean(value) => Ok(Literal::Bool(*value.inner())),
            LiteralValue::Bytes(_) => Err(unsupported("a bytes literal", None)),
            LiteralValue::Null => Err(unsupported(
                "a comparison with null",
                Some(
                    "a comparison with NULL is false, so `column != 'x'` already leaves NULL rows out",
                ),
            )),
        }
    }

    /// The digits as written, where the source has them (f64 holds only 17), else the shortest that read back equal.
    fn double(&self, id: u64, value: f64) -> Result<String, ExpressionError> {
        if !value.is_finite() {
            return Err(unsupported("a number beyond the range of DOUBLE", None));
        }
        let chars: Vec<char> = self.source.source.chars().collect();
        let written = self.source.offset_for(id).and_then(|(start, stop)| {
            let (start, stop) = (usize::try_from(start).ok()?, usize::try_from(stop).ok()?);
            [stop, stop + 1].into_iter().find_map(|end| {
                let digits: String = chars.get(start..end)?.iter().collect();
                let whole = chars
                    .get(end)
                    .is_none_or(|next| !next.is_ascii_alphanumeric() && *next != '.');
                (whole && digits.parse() == Ok(value)).then_some(digits)
            })
        });
        Ok(written.unwrap_or_else(|| value.to_string()))
    }
}

enum Operand {
    Column(String),
    Literal(Literal),
}

/// `row['any name']`.
fn indexed_column(row: &IdedExpr, name: &IdedExpr) -> Option<Operand> {
    match (&row.expr, &name.expr) {
        (Expr::Ident(row), Expr::Literal(LiteralValue::String(name))) if row == "row" => {
            Some(Operand::Column(name.inner().to_owned()))
        }
        _ => None,
    }
}

fn negated(literal: Literal) -> Result<Literal, ExpressionError> {
    match literal {
        Literal::Int(value) => Ok(Literal::Int(-value)),
        Literal::Double(digits) => Ok(Literal::Double(match digits.strip_prefix('-') {
            Some(positive) => positive.to_owned(),
            None => format!("-{digits}"),
        })),
        Literal::Text(_) | Literal::Bool(_) => {
            Err(unsupported("the negative of a text or truth value", None))
        }
    }
}

fn comparison_operator(name: &str) -> Option<Operator> {
    Some(match name {
        operators::EQUALS => Operator::Equal,
        operators::NOT_EQUALS => Operator::NotEqual,
        operators::LESS => Operator::Less,
        operators::LESS_EQUALS => Operator::LessEqual,
        operators::GREATER => Operator::Greater,
        operators::GREATER_EQUALS => Operator::GreaterEqual,
        _ => return None,
    })
}

impl Operator {
    /// The operator with its sides exchanged.
    fn mirrored(self) -> Operator {
        match self {
            Operator::Equal | Operator::NotEqual => self,
            Operator::Less => Operator::Greater,
            Operator::LessEqual => Operator::GreaterEqual,
            Operator::Greater => Operator::Less,
            Operator::GreaterEqual => Operator::LessEqual,
        }
    }
}

fn unsupported(what: &str, hint: Option<&'static str>) -> ExpressionError {
    ExpressionError::Unsupported {
        what: what.to_owned(),
        hint,
    }
}

fn unsupported_call(call: &CallExpr) -> ExpressionError {
    let what = match call.func_name.as_str() {
        operators::CONDITIONAL => "the conditional ?:".to_owned(),
        operators::ADD
        | operators::SUBSTRACT
        | operators::MULTIPLY
        | operators::DIVIDE
        | operators::MODULO => {
            format!("arithmetic {}", call.func_name.trim_matches('_'))
        }
        operators::NEGATE => "arithmetic -".to_owned(),
        operators::IN => "operator in".to_owned(),
        operators::INDEX => "indexing other than row['column']".to_owned(),
        name if comparison_operator(name).is_some() => {
            "a comparison inside a comparison".to_owned()
        }
        operators::LOGICAL_AND | operators::LOGICAL_OR | operators::LOGICAL_NOT => {
            "a comparison with the result of && || or !".to_owned()
        }
        name => format!("function {name}()"),
    };
    let hint = (call.func_name == operators::IN).then_some("write a == 'x' || a == 'y'");
    ExpressionError::Unsupported { what, hint }
}

fn not_a_comparison(expr: &Expr) -> ExpressionError {
    let (what, hint) = match expr {
        Expr::Ident(name) => (
            format!("a column by itself ({name})"),
            Some("write column != 0 or column == true"),
        ),
        Expr::Literal(_) => ("a literal by itself".to_owned(), None),
        Expr::Select(select) if select.test => ("function has()".to_owned(), None),
        Expr::Select(select) => (
            format!("member .{}", select.field),
            Some("write row['column'] for any column name"),
        ),
        Expr::List(_) => ("a list".to_owned(), None),
        Expr::Map(_) => ("a map".to_owned(), None),
        Expr::Struct(_) => ("a message".to_owned(), None),
        Expr::Comprehension(_) => ("a macro (all, exists, map, filter)".to_owned(), None),
        Expr::Call(call) => return unsupported_call(call),
        Expr::Unspecified => ("an empty expression".to_owned(), None),
    };
    ExpressionError::Unsupported { what, hint }
}

fn syntax(message: String, text: &str) -> ExpressionError {
    ExpressionError::Syntax {
        message,
        hint: sql_hint(text),
    }
}

/// Length and nesting, checked on the bare text before any parser sees it.
///
/// Operators nest in the parser as brackets do (`a.a.a`, `1+1+1`, `!!a`), except that `&&` and `||` do not:
/// so the operators since the last of those are counted too, over all brackets that are open.
fn check_limits(text: &str) -> Result<(), ExpressionError> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(ExpressionError::TooLong(text.len()));
    }
    let code = code(text);
    let mut open: Vec<usize> = Vec::new();
    let (mut chain, mut chains) = (0_usize, 0_usize);
    let mut rest = code.as_str();
    while let Some(token) = token(rest) {
        rest = &rest[token.len()..];
        match token {
            "&&" | "||" => chain = 0,
            "(" | "[" | "{" => {
                chains += chain + 1;
                open.push(chain + 1);
                chain = 0;
            }
            ")" | "]" | "}" => {
                chain = open.pop().unwrap_or(0);
                chains -= chain;
            }
            "in" => chain += 1,
            token if token.starts_with(|c: char| c.is_ascii_punctuation() && c != '_') => {
                chain += 1;
            }
            _ => {}
        }
        if open.len() > DEPTH_MAX || chains - open.len() + chain > DEPTH_MAX {
            return Err(ExpressionError::TooDeep);
        }
    }
    Ok(())
}

/// The first operator, bracket, word or run of blanks of `code`.
fn token(code: &str) -> Option<&str> {
    let first = code.chars().next()?;
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let two = ["&&", "||", "==", "!=", "<=", ">=", "''"];
    let len = match two.iter().find(|operator| code.starts_with(**operator)) {
        Some(operator) => operator.len(),
        None if word(first) => code.find(|c| !word(c)).unwrap_or(code.len()),
        None => first.len_utf8(),
    };
    Some(&code[..len])
}

/// The text with the insides of string literals left out; an unfinished string reaches to the end.
fn code(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(['\'', '"']) {
        let raw = rest[..start].ends_with(['r', 'R']);
        code.push_str(&rest[..start]);
        code.push_str("''");
        let quote = &rest[start..=start];
        let triple = quote.repeat(3);
        let delimiter = if rest[start..].starts_with(&triple) {
            &triple[..]
        } else {
            quote
        };
        rest = after_string(&rest[start + delimiter.len()..], delimiter, raw);
    }
    code.push_str(rest);
    code
}

fn after_string<'a>(inside: &'a str, delimiter: &str, raw: bool) -> &'a str {
    let mut at = 0;
    while let Some(tail) = inside.get(at..).filter(|tail| !tail.is_empty()) {
        if let Some(after) = tail.strip_prefix(delimiter) {
            return after;
        }
        let escaped = !raw && tail.starts_with('\\');
        at += tail
            .chars()
            .take(if escaped { 2 } else { 1 })
            .map(char::len_utf8)
            .sum::<usize>();
    }
    ""
}

/// What an SQL user most likely meant.
fn sql_hint(text: &str) -> Option<&'static str> {
    let code = code(text);
    if code.contains("<>") {
        return Some("SQL's <> is written !=");
    }
    let words = code.split(|c: char| !c.is_alphanumeric() && c != '_');
    for word in words {
        match word.to_ascii_uppercase().as_str() {
            "AND" => return Some("SQL's AND is written &&"),
            "OR" => return Some("SQL's OR is written ||"),
            "NOT" => return Some("SQL's NOT is written !(…)"),
            "LIKE" => return Some("LIKE is not yet supported; only == != < <= > >= compare text"),
            "BETWEEN" => return Some("SQL's BETWEEN is written a >= 1 && a <= 9"),
            "IS" => return Some("IS NULL is not yet supported; a comparison with NULL is false"),
            _ => {}
        }
    }
    let without = ["==", "!=", "<=", ">="]
        .iter()
        .fold(code, |text, operator| text.replace(operator, " "));
    without.contains('=').then_some("SQL's = is written ==")
}
