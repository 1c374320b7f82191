//! `docs/configuration.md`, made from the tables of settings; the test holds the committed file to be what they say.

use std::fmt::Write;
use std::path::Path;

use super::{STARTED, all_inherited};
use crate::topic_config::{Kind, SETTINGS, Scope};

/// Set, the test writes the file instead of comparing it.
const WRITE: &str = "HEADRACE_WRITE_DOCS";

const HEAD: &str = "\
# Configuration

Made from the tables in `broker/src/topic_config` and `broker/src/broker_settings`, and held to them by a test. After a
change there: `HEADRACE_WRITE_DOCS=1 cargo test -p headrace-broker configuration_md`.

A setting has an effect or is refused. Of what Kafka may be asked for and this broker does in one way only, that one
value is taken, so that tools which copy settings work, and every other is refused with the reason.

A topic's value is the first of: set on the topic (CreateTopics, AlterConfigs, IncrementalAlterConfigs; `kafka-configs
--entity-type topics`), set on this broker (`--entity-type brokers --entity-name 1`), set on all brokers (`--entity-type
brokers --entity-default`), the configuration file, the default. All but the file's can be changed while the broker runs,
are in effect when the change is answered, and outlive every end of it.
";

const TOPICS: &str = "
## Topics

The configuration file sets them for all topics that do not say otherwise, by the same names:

```toml
[broker.topic_defaults]
\"retention.ms\"  = 86400000
\"segment.bytes\" = 134217728
```

Topics of the broker itself (`__consumer_offsets`) have none of the settings marked *clients*, and stay compacted.

| setting | type | default | on brokers | what it does |
|---|---|---|---|---|
";

const BROKERS: &str = "
## Brokers, while they run

What topics inherit, under the names that it has there. Types, defaults and bounds are those of the topics' setting.

| setting | topics' setting |
|---|---|
";

const AT_START: &str = "
## Brokers, at their start

Shown by DescribeConfigs and changed by another start, with the key of the file's `[broker]` where there is one.

| setting | type | key | what it does |
|---|---|---|---|
";

fn document() -> String {
    let mut text = format!("{HEAD}{TOPICS}");
    for setting in SETTINGS {
        let synonym = setting
            .synonym
            .map_or_else(String::new, |name| format!("`{name}`"));
        let default = match setting.default {
            "" => "(none)".to_owned(),
            default => format!("`{default}`"),
        };
        let clients = match setting.scope {
            Scope::Produce => " *(clients)*",
            Scope::Log => "",
        };
        let (name, kind, doc) = (setting.name, kind(setting.kind), setting.doc);
        writeln!(
            text,
            "| `{name}` | {kind} | {default} | {synonym} | {doc}{clients} |"
        )
        .expect("a text in memory");
    }
    text.push_str(BROKERS);
    for (name, setting) in all_inherited() {
        writeln!(text, "| `{name}` | `{}` |", setting.name).expect("a text in memory");
    }
    text.push_str(AT_START);
    for setting in STARTED {
        let key = setting
            .key
            .map_or_else(String::new, |key| format!("`{key}`"));
        let (name, kind, doc) = (setting.name, kind(setting.kind), setting.doc);
        writeln!(text, "| `{name}` | {kind} | {key} | {doc} |").expect("a text in memory");
    }
    text
}

fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Boolean => "boolean",
        Kind::String => "text",
        Kind::Int => "32-bit number",
        Kind::Long => "64-bit number",
        Kind::Double => "fraction",
        Kind::List => "list",
    }
}

#[test]
fn configuration_md_is_what_the_tables_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/configuration.md");
    let made = document();
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == made,
        "docs/configuration.md is not what the tables say: rewrite it with {WRITE}=1 on this test"
    );
}
