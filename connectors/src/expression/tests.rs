//! Which expressions a filter may be, and what each gives on a row.

use headrace_clients::change::{Column, ColumnType, Row, Schema};

use super::*;

fn schema() -> Schema {
    use ColumnType as T;
    let columns = [
        ("id", T::Int),
        ("big", T::UInt),
        (
            "price",
            T::Decimal {
                precision: 65,
                scale: 30,
            },
        ),
        ("weight", T::Float),
        ("ratio", T::Double),
        ("status", T::Text),
        ("kind", T::Enum),
        ("flag", T::Int),
        ("raw", T::Bytes),
        ("doc", T::Json),
        ("born", T::Date),
        ("lasts", T::Time { fraction: 6 }),
        ("at", T::DateTime { fraction: 3 }),
        ("seen", T::Timestamp { fraction: 0 }),
        ("in", T::Text),
        ("row", T::Int),
        ("tüte d", T::Text),
    ];
    let column = |(name, ty): (&str, T)| Column {
        name: name.into(),
        ty,
        key: None,
        nullable: true,
        default: None,
    };
    Schema {
        columns: columns.map(column).to_vec(),
    }
}

const ROW: &str = r#"{"id":-7,"big":18446744073709551615,"price":"12345678901234567890.100000000000000000000000000000",
 "weight":0.1,"ratio":2.5e300,"status":"it's \"ä\"","kind":"draft","flag":1,"raw":"AP8=","doc":{"a":1},"born":"2026-01-31",
 "lasts":"-100:00:01.500000","at":"2026-01-31T13:05:00.500","seen":"2026-01-31T13:05:00Z","in":"x","row":3,"tüte d":"y"}"#;

fn accepts(text: &str, row: &str) -> bool {
    let filter = Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let bound = filter
        .bind(&schema(), &schema())
        .unwrap_or_else(|error| panic!("{text}: {error}"));
    bound.accepts(&Row::parse(row.as_bytes()).unwrap()).unwrap()
}

#[test]
fn comparisons_hold_by_type() {
    for (text, expected) in [
        ("id == -7", true),
        ("id != -7", false),
        ("-8 < id", true),
        ("id >= -7u || false == flag", true),
        ("id < -6.9", true),
        ("id == -7.0", true),
        ("big == 18446744073709551615u", true),
        ("big > 9223372036854775807", true),
        ("big == 18446744073709551615.0", true),
        ("price == 12345678901234567890.1", true),
        (
            "price == 12345678901234567890.10000000000000000000000001",
            false,
        ),
        (
            "price < 12345678901234567890.10000000000000000000000001",
            true,
        ),
        ("price == '12345678901234567890.100'", true),
        ("price > 12", true),
        ("weight == 0.1", true),
        ("weight < 1", true),
        ("ratio == 2.5e300", true),
        ("status == 'it\\'s \"ä\"'", true),
        ("status == \"it's \\\"ä\\\"\"", true),
        ("status < 'j' && status > 'i'", true),
        ("kind == 'draft'", true),
        ("kind == 'DRAFT'", false),
        ("flag == true", true),
        ("flag != true", false),
        ("born >= '2026-01-31'", true),
        ("lasts == '-100:00:01.5'", true),
        ("lasts < '-99:59:59'", true),
        ("lasts < '00:00:00'", true),
        ("at > '2026-01-31T13:05:00'", true),
        ("at == '2026-01-31T13:05:00.5'", true),
        ("at > '2026-01-31'", true),
        ("seen == '2026-01-31T13:05:00Z'", true),
        ("seen < '2026-01-31T13:05:00.5'", true),
        ("row['in'] == 'x'", true),
        ("row['tüte d'] == 'y' && row == 3", true),
    ] {
        assert_eq!(accepts(text, ROW), expected, "{text}");
    }
}

#[test]
fn logic_joins_comparisons() {
    for (text, expected) in [
        ("id == -7 && flag == 1", true),
        ("id == -7 && flag == 2", false),
        ("id == 1 || flag == 1", true),
        ("!(id == 1)", true),
        ("!(id == 1) && !(flag == 1)", false),
        ("id == 1 || flag == 1 && kind == 'x'", false),
        ("(id == 1 || flag == 1) && kind == 'draft'", true),
        ("!!(flag == 1)", true),
    ] {
        assert_eq!(accepts(text, ROW), expected, "{text}");
    }
}

#[test]
fn a_comparison_with_null_is_false() {
    let row = r#"{"id":null,"price":null,"status":null}"#;
    for text in [
        "id == 0",
        "id != 0",
        "id < 0",
        "price >= 0",
        "status != 'draft'",
        "status == ''",
        "born != '2026-01-01'",
    ] {
        assert!(!accepts(text, row), "{text}");
    }
    assert!(accepts("!(status != 'draft')", row));
}

#[test]
fn a_column_that_came_later_is_null_before() {
    let old = Schema {
        columns: schema().columns[..1].to_vec(),
    };
    let filter = Filter::parse("id == -7 && status != 'draft'").unwrap();
    let bound = filter.bind(&old, &schema()).unwrap();
    assert_eq!(
        bound.accepts(&Row::parse(br#"{"id":-7}"#).unwrap()),
        Ok(false)
    );
    assert!(filter.bind(&old, &old).is_err());
}

#[test]
fn types_that_do_not_go_together_are_named() {
    for (text, expected) in [
        ("nope == 1", "the table has no column `nope`"),
        (
            "status == 1",
            "column `status` is text, which cannot be compared with the number 1",
        ),
        (
            "id == '7'",
            "column `id` is an integer, which cannot be compared with the text '7'",
        ),
        (
            "flag < true",
            "column `flag` is an integer, which cannot be compared with true",
        ),
        (
            "price == 'x'",
            "column `price` is a DECIMAL, which cannot be compared with the text 'x'",
        ),
        (
            "raw == 'x'",
            "column `raw` is binary, which cannot be compared with the text 'x'",
        ),
        (
            "doc == 'x'",
            "column `doc` is JSON, which cannot be compared with the text 'x'",
        ),
        (
            "at > '2026-01-31 13:05:00'",
            "column `at` is a DATETIME ('2026-01-31T13:05:00'), which cannot be compared with the text '2026-01-31 13:05:00'",
        ),
        (
            "lasts > '1:2:3'",
            "column `lasts` is a TIME ('13:05:00'), which cannot be compared with the text '1:2:3'",
        ),
    ] {
        let error = Filter::parse(text)
            .unwrap()
            .bind(&schema(), &schema())
            .unwrap_err();
        assert_eq!(error.to_string(), expected, "{text}");
    }
}

#[test]
fn other_expressions_are_refused_by_name() {
    for (text, name) in [
        ("size(status) == 3", "function size()"),
        ("status.startsWith('a')", "function startsWith()"),
        ("price / 100.0 > 1", "arithmetic /"),
        ("id + 1 == 2", "arithmetic +"),
        ("-id == 2", "arithmetic -"),
        ("id in [1, 2]", "operator in"),
        ("flag == 1 ? true : false", "the conditional ?:"),
        ("flag", "a column by itself (flag)"),
        ("!flag", "a column by itself (flag)"),
        ("true", "a literal by itself"),
        ("id == id", "the comparison of two columns"),
        ("1 == 1", "the comparison of two literals"),
        ("status == null", "a comparison with null"),
        ("raw == b'x'", "a bytes literal"),
        ("doc.a == 1", "member .a"),
        ("doc['a'] == 1", "indexing other than row['column']"),
        ("has(doc.a)", "function has()"),
        ("[1].all(x, x == 1)", "a macro (all, exists, map, filter)"),
        ("(id == 1) == (id == 2)", "a comparison inside a comparison"),
        ("timestamp(at) > timestamp('x')", "function timestamp()"),
    ] {
        let error = Filter::parse(text).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("not yet supported: {name}"),
            "{text}"
        );
    }
}

#[test]
fn sql_habits_get_a_hint() {
    for (text, hint) in [
        ("status = 'x'", "SQL's = is written =="),
        ("status <> 'x'", "SQL's <> is written !="),
        ("id == 1 AND flag == 1", "SQL's AND is written &&"),
        ("id == 1 or flag == 1", "SQL's OR is written ||"),
        (
            "status LIKE '%x'",
            "LIKE is not yet supported; only == != < <= > >= compare text",
        ),
        ("NOT flag == 1", "SQL's NOT is written !(…)"),
    ] {
        let error = Filter::parse(text).unwrap_err();
        assert!(
            matches!(error, ExpressionError::Syntax { .. }),
            "{text}: {error}"
        );
        assert_eq!(error.hint(), Some(hint), "{text}");
    }
    let quoted = Filter::parse("status == 'a = b AND c").unwrap_err();
    assert_eq!(quoted.hint(), None);
}

#[test]
fn long_and_deep_text_is_refused_before_parsing() {
    let nested = |depth: usize| format!("{}id == 1{}", "(".repeat(depth), ")".repeat(depth));
    assert!(accepts(&nested(DEPTH_MAX), r#"{"id":1}"#));
    assert_eq!(
        Filter::parse(&nested(DEPTH_MAX + 1)),
        Err(ExpressionError::TooDeep)
    );
    assert_eq!(
        Filter::parse(&format!("{}flag == 1", "!".repeat(65))),
        Err(ExpressionError::TooDeep)
    );
    assert_eq!(
        Filter::parse(&nested(2045)),
        Err(ExpressionError::TooLong(4097))
    );
    let quoted = format!("status == '{}'", "(".repeat(100));
    assert!(!accepts(&quoted, r#"{"status":"x"}"#));
    let wide = vec!["id == 1"; 400].join("||");
    assert!(accepts(&wide, r#"{"id":1}"#));
}

#[test]
fn no_text_of_the_allowed_length_ends_the_process() {
    for unit in [
        "a.",
        "a[",
        "a[0]",
        "!",
        "-",
        "a?b:",
        "a==",
        "1+",
        "(",
        "(a+",
        "a in ",
        "a+a+a+a&&(",
        "{1:",
        "[",
        "a(",
        "'",
        "\"\"\"",
        "\\",
        "a&&",
        "a||",
        "f().",
        "- -",
        "`",
    ] {
        let text = unit.repeat(TEXT_BYTES_MAX / unit.len());
        assert!(Filter::parse(&text).is_err());
        assert!(Filter::parse(&text[..text.len() - 1]).is_err());
    }
}

#[test]
fn a_value_of_another_form_is_an_error_with_its_column() {
    let bound = Filter::parse("id == 1")
        .unwrap()
        .bind(&schema(), &schema())
        .unwrap();
    let (column, error) = bound
        .accepts(&Row::parse(br#"{"id":"x"}"#).unwrap())
        .unwrap_err();
    assert_eq!(
        (column.as_str(), error.to_string().as_str()),
        ("id", "the value is not an integer: \"x\"")
    );
}
