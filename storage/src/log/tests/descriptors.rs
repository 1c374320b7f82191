//! Many logs on few descriptors: logs over the bounded cache of open files.

use super::*;
use crate::fs::CachedDisk;

const LOGS: i32 = 60;
const FILES_MAX: usize = 8;
/// Beyond the bound: the file that is written and its index, and one that is opened to be read.
const AT_WORK: usize = 3;

fn open_all(disk: &CachedDisk, root: &Path) -> Vec<Log> {
    let open = |partition: i32| {
        let dir = root.join(partition.to_string());
        let disk = disk.clone();
        let identity = LogIdentity {
            partition,
            ..identity()
        };
        let config = LogConfig::default();
        Log::open(Arc::new(disk), &dir, identity, config, Known::default()).unwrap()
    };
    (0..LOGS).map(open).collect()
}

#[test]
fn idle_logs_need_no_descriptors_and_go_on_appending_and_rolling() {
    let dir = tempfile::tempdir().unwrap();
    let disk = CachedDisk::new(Arc::new(RealDisk), FILES_MAX);
    let mut logs = open_all(&disk, dir.path());
    for log in &mut logs {
        let term = LeaderEpoch(1);
        log.append(Entry::NoOp { term }).unwrap();
    }
    for round in 0..4 {
        for log in &mut logs {
            append(log, &[round], 200);
            if round % 2 == 1 {
                log.append(Entry::Roll { at_ms: round }).unwrap();
                append(log, &[round], 200);
            }
            settle(log);
            // the second call finds that nothing was appended since the first
            log.trim_idle().unwrap();
            log.trim_idle().unwrap();
            let open = disk.open_files();
            assert!(open <= FILES_MAX + AT_WORK, "round {round}: {open} files");
        }
    }
    for log in &logs {
        assert_eq!(all(log).len(), 6);
        assert_eq!(log.segments().len(), 2);
    }
    drop(logs);
    for log in open_all(&disk, dir.path()) {
        assert_eq!(all(&log).len(), 6);
    }
}
