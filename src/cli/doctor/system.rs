//! What the system gives a process: descriptors, mappings, pages, a clock, and which versions it is of.
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::process::{Resource, getrlimit};

use super::Check;

/// Below this a broker with the default of 10,000 connections has to refuse some of them.
const DESCRIPTORS_GOOD: u64 = 65_536;
/// Below this it opens and closes files all the time.
const DESCRIPTORS_MIN: u64 = 1_024;
/// Each open segment is one mapping, of up to 32,000; the kernel's own default leaves room for them.
const MAPPINGS_GOOD: u64 = 65_530;
/// 2026-01-01, in seconds: a clock before it was never set.
const CLOCK_MIN_S: u64 = 1_767_225_600;
/// Files from the future by more than this are no rounding.
const CLOCK_SLACK_S: u64 = 60;

pub(super) fn checks(data: &Path) -> Vec<Check> {
    let limit = getrlimit(Resource::Nofile).maximum;
    let mappings = read("/proc/sys/vm/max_map_count").and_then(|text| text.parse().ok());
    vec![
        descriptors(limit.unwrap_or(u64::MAX)),
        mappings.map_or_else(
            || {
                Check::warn(
                    "mappings",
                    "vm.max_map_count is not known",
                    "look with sysctl",
                )
            },
            judge_mappings,
        ),
        huge_pages(read("/sys/kernel/mm/transparent_hugepage/enabled").as_deref()),
        clock(now_s(), newest_s(data)),
        Check::ok("versions", versions()),
    ]
}

/// A broker raises its limit to this by itself.
fn descriptors(limit: u64) -> Check {
    const ABOUT: &str = "descriptors";
    let found = format!("{limit} at most");
    let advice = "raise it with LimitNOFILE= in the unit, or ulimit -Hn";
    if limit < DESCRIPTORS_MIN {
        return Check::fail(ABOUT, found, advice);
    }
    if limit < DESCRIPTORS_GOOD {
        let found = format!("{found}, shared by connections and open files");
        return Check::warn(ABOUT, found, advice);
    }
    Check::ok(ABOUT, found)
}

fn judge_mappings(count: u64) -> Check {
    let found = format!("vm.max_map_count is {count}");
    if count < MAPPINGS_GOOD {
        let advice = format!("sysctl -w vm.max_map_count={MAPPINGS_GOOD}");
        return Check::warn("mappings", found, advice);
    }
    Check::ok("mappings", found)
}

/// `always [madvise] never`: the one in brackets counts.
fn huge_pages(enabled: Option<&str>) -> Check {
    const ABOUT: &str = "huge pages";
    let chosen = enabled.and_then(|text| text.split_once('[')?.1.split_once(']'));
    match chosen.map(|(chosen, _)| chosen) {
        Some("always") => Check::warn(
            ABOUT,
            "transparent huge pages are always on: many connections then take more memory than they use",
            "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled",
        ),
        Some(chosen) => Check::ok(ABOUT, format!("transparent huge pages: {chosen}")),
        None => Check::ok(ABOUT, "this kernel has none"),
    }
}

/// Time stamps of records and retention rest on the clock.
fn clock(now_s: u64, newest_s: Option<u64>) -> Check {
    const ABOUT: &str = "clock";
    let advice = "set it, and keep it by NTP: retention and time stamps rest on it";
    if now_s < CLOCK_MIN_S {
        return Check::fail(ABOUT, format!("{now_s} s since 1970 is long ago"), advice);
    }
    match newest_s {
        Some(newest) if newest > now_s + CLOCK_SLACK_S => {
            let ahead = newest - now_s;
            let found = format!("files of the data directory are {ahead} s in the future");
            Check::fail(ABOUT, found, advice)
        }
        _ => Check::ok(ABOUT, format!("{now_s} s since 1970")),
    }
}

fn now_s() -> u64 {
    seconds(SystemTime::now())
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// When the newest file directly in the data directory was written.
fn newest_s(data: &Path) -> Option<u64> {
    let files = fs::read_dir(data).ok()?.flatten();
    let times = files.filter_map(|file| file.metadata().ok()?.modified().ok());
    times.map(seconds).max()
}

fn versions() -> String {
    let kernel = read("/proc/sys/kernel/osrelease").unwrap_or_else(|| "unknown".to_owned());
    // only the library itself knows its version, and asking it needs unsafe code
    let libc = Command::new("getconf").arg("GNU_LIBC_VERSION").output();
    let libc = libc.ok().filter(|output| output.status.success());
    let libc = libc.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    format!(
        "headrace {}, kernel {kernel}, {}",
        env!("CARGO_PKG_VERSION"),
        libc.unwrap_or_else(|| "C library unknown".to_owned())
    )
}

fn read(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::Grade;
    use super::*;

    #[test]
    fn limits_are_graded() {
        let grades = [100, 4_096, 1_048_576].map(|limit| descriptors(limit).grade);
        assert_eq!(grades, [Grade::Fail, Grade::Warn, Grade::Ok]);
        let grades = [1_000, 65_530].map(|count| judge_mappings(count).grade);
        assert_eq!(grades, [Grade::Warn, Grade::Ok]);
    }

    #[test]
    fn huge_pages_are_read_from_the_brackets() {
        assert_eq!(
            huge_pages(Some("[always] madvise never")).grade,
            Grade::Warn
        );
        assert_eq!(huge_pages(Some("always [madvise] never")).grade, Grade::Ok);
        assert_eq!(huge_pages(None).grade, Grade::Ok);
        assert_eq!(huge_pages(Some("nonsense")).grade, Grade::Ok);
    }

    #[test]
    fn a_clock_that_was_never_set_or_goes_back_fails() {
        let now = CLOCK_MIN_S + 1_000_000;
        assert_eq!(clock(1_000, None).grade, Grade::Fail);
        assert_eq!(clock(now, Some(now + 3_600)).grade, Grade::Fail);
        assert_eq!(clock(now, Some(now - 3_600)).grade, Grade::Ok);
        assert_eq!(clock(now, None).grade, Grade::Ok);
    }
}
