//! What the configuration file takes, and how it refuses the rest.
use super::*;

const GOOD: &str = r#"
[broker]
listen = "127.0.0.1:19092"
data   = "d"

[source.shop]
mysql  = "mysql://cdc@127.0.0.1:3306"
tables = ["shop.products", "shop.orders"]
start  = "snapshot"

[target.cache]
redis = "redis://127.0.0.1:6379"

[target.search]
tantivy = "index"

[view.product_cache]
from   = "shop.products"
where  = "status != 'draft'"
to     = "cache"
as     = "hash"
key    = "product:{id}"
fields = { name = "name", price = "price" }

[view.product_search]
from = "shop.products"
to   = "search"
key  = "{id}"
"#;

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("etc/headrace.toml")).map_err(|error| error.to_string())
}

fn refused(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from));
    parse(&GOOD.replacen(from, to, 1)).unwrap_err()
}

#[test]
fn the_example_of_the_readme_is_taken() {
    let config = parse(GOOD).unwrap();
    assert_eq!(config.broker.listen, "127.0.0.1:19092");
    assert_eq!(config.http.listen, HTTP_LISTEN);
    assert_eq!(
        (config.broker.partitions, config.broker.auto_create),
        (1, true)
    );
    assert_eq!(config.sources[0].name, "shop");
    assert_eq!(
        config
            .views
            .iter()
            .map(|view| view.name.as_str())
            .collect::<Vec<_>>(),
        ["product_cache", "product_search"]
    );
    assert_eq!(
        Topics::of(&config.sources).find("shop.orders").unwrap(),
        "shop.shop.orders"
    );
}

#[test]
fn the_waiting_times_of_groups_are_taken() {
    let text =
        "[broker]\ngroup_initial_rebalance_delay_ms = 0\ngroup_min_session_timeout_ms = 1000\n";
    let broker = parse(text).unwrap().broker;
    assert_eq!(broker.group_initial_rebalance_delay_ms, 0);
    assert_eq!(broker.group_min_session_timeout_ms, 1_000);
}

#[test]
fn the_bounds_of_groups_and_the_retention_of_offsets_are_taken() {
    let text = "[broker]\ngroup_max_session_timeout_ms = 60000\ngroup_max_size = 50\n\
                offsets_retention_minutes = 60\noffsets_retention_check_interval_ms = 5000\n";
    let broker = parse(text).unwrap().broker;
    assert_eq!(broker.group_max_session_timeout_ms, 60_000);
    assert_eq!(broker.group_max_size, 50);
    assert_eq!(broker.offsets_retention_minutes, 60);
    assert_eq!(broker.offsets_retention_check_interval_ms, 5_000);
}

#[test]
fn paths_are_relative_to_the_file() {
    let config = parse(GOOD).unwrap();
    assert_eq!(config.broker.data, Path::new("etc/d"));
    let TargetConfig::Tantivy { tantivy } = &config.targets["search"] else {
        panic!("a tantivy target")
    };
    assert_eq!(tantivy, Path::new("etc/index"));
}

#[test]
fn an_empty_file_is_a_broker() {
    let config = parse("").unwrap();
    assert_eq!(config.broker.listen, BROKER_LISTEN);
    assert!(config.sources.is_empty() && config.views.is_empty());
}

#[test]
fn unknown_keys_are_refused_with_line_and_nearest_name() {
    for (from, to, expected) in [
        (
            "tables =",
            "tabels =",
            "etc/headrace.toml:8: unknown key `tabels`; did you mean `tables`?",
        ),
        (
            "listen =",
            "lisen =",
            "etc/headrace.toml:3: unknown key `lisen`; did you mean `listen`?",
        ),
        (
            "[source.shop]",
            "[sources.shop]",
            "etc/headrace.toml:6: unknown key `sources`; did you mean `source`?",
        ),
        (
            "redis =",
            "rediss =",
            "etc/headrace.toml:12: unknown key `rediss`; did you mean `redis`?",
        ),
        (
            "where  =",
            "were  =",
            "etc/headrace.toml:19: unknown key `were`; did you mean `where`?",
        ),
        (
            "tantivy =",
            "xyz =",
            "etc/headrace.toml:15: unknown key `xyz`; known here: redis, tantivy",
        ),
    ] {
        assert_eq!(refused(from, to), expected);
    }
}

#[test]
fn syntax_errors_have_a_line() {
    let error = refused("[target.cache]", "[target.cache");
    assert!(error.starts_with("etc/headrace.toml:11: "), "{error}");
    let error = refused("\"mysql://cdc@127.0.0.1:3306\"", "3306");
    assert!(
        error.starts_with("etc/headrace.toml:7: ") && !error.contains('\n'),
        "{error}"
    );
}

#[test]
fn a_view_of_an_uncaptured_table_is_refused() {
    assert_eq!(
        refused("from   = \"shop.products\"", "from = \"shop.product\""),
        "etc/headrace.toml:18: `view.product_cache.from`: no source captures `shop.product`; did you mean `shop.products`?"
    );
    let error = refused(
        "from   = \"shop.products\"",
        "from = \"other:shop.products\"",
    );
    assert!(
        error.contains("no source captures `other:shop.products`"),
        "{error}"
    );
}

#[test]
fn a_table_of_two_sources_must_be_told_apart() {
    let second = "[source.copy]\nmysql = \"mysql://h\"\ntables = [\"shop.products\"]\n";
    let error = parse(&format!("{GOOD}{second}")).unwrap_err();
    assert!(
        error.contains("write one of copy:shop.products, shop:shop.products"),
        "{error}"
    );
}

#[test]
fn bad_expressions_and_unknown_targets_have_a_line() {
    let error = refused("status != 'draft'", "status = 'draft'");
    assert!(
        error.starts_with("etc/headrace.toml:19: `view.product_cache.where`: "),
        "{error}"
    );
    let error = refused("to     = \"cache\"", "to = \"cash\"");
    assert!(
        error.starts_with("etc/headrace.toml:20: `view.product_cache.to`: "),
        "{error}"
    );
}

#[test]
fn a_wildcard_listen_needs_an_advertised_address() {
    for wildcard in ["0.0.0.0:9092", "[::]:9092", ":9092"] {
        let error = refused("127.0.0.1:19092", wildcard);
        assert!(
            error.starts_with("etc/headrace.toml:3: `broker.listen`: "),
            "{error}"
        );
        assert!(error.contains("advertised"), "{error}");
    }
    let both = "listen = \"0.0.0.0:9092\"\nadvertised = \"h:9092\"";
    assert!(parse(&GOOD.replacen("listen = \"127.0.0.1:19092\"", both, 1)).is_ok());
}

#[test]
fn a_secret_that_is_not_there_has_a_line() {
    let error = refused(
        "mysql://cdc@",
        "mysql://cdc:${env:HEADRACE_NO_SUCH_VARIABLE}@",
    );
    assert_eq!(
        error,
        "etc/headrace.toml:7: `source.shop.mysql`: the environment variable HEADRACE_NO_SUCH_VARIABLE is not set"
    );
}

#[test]
fn loopback_and_wildcard_addresses_are_told_apart() {
    assert!(is_loopback("127.0.0.1:1") && is_loopback("[::1]:1") && is_loopback("localhost:1"));
    assert!(!is_loopback("0.0.0.0:1") && !is_loopback("10.0.0.1:1") && !is_loopback("db1:1"));
    assert!(is_wildcard("0.0.0.0:1") && !is_wildcard("127.0.0.1:1"));
}

#[test]
fn topics_inherit_what_the_file_says_with_and_without_quotes() {
    let with = |lines: &str| {
        let table = format!("data   = \"d\"\n[broker.topic_defaults]\n{lines}");
        parse(&GOOD.replacen("data   = \"d\"", &table, 1))
    };
    let quoted = with("\"retention.ms\" = 5\n\"cleanup.policy\" = \"compact\"");
    let bare = with("retention.ms = 5\ncleanup.policy = \"compact\"");
    for config in [quoted, bare] {
        let defaults = config.unwrap().broker.topic_defaults().unwrap();
        let told: Vec<_> = defaults
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .collect();
        assert_eq!(told, [("cleanup.policy", "compact"), ("retention.ms", "5")]);
    }
    for wrong in [
        "retention.ms = \"soon\"",
        "no.such = 1",
        "retention.ms = [5]",
    ] {
        let refused = with(wrong).unwrap_err();
        assert!(refused.contains("topic_defaults"), "{refused}");
    }
}
