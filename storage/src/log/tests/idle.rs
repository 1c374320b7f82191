//! What an idle log gives back, and that it goes on afterwards.

use super::*;
use crate::fs::Fault;

fn size_of_last(disk: &MemoryDisk) -> usize {
    let path = segment_paths(disk).pop().unwrap();
    disk.bytes_of(&path).unwrap().len()
}

#[test]
fn idle_log_gives_its_room_back_and_goes_on() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk).unwrap();
    log.trim_idle().unwrap();
    assert!(segment_paths(&disk).is_empty());
    append(&mut log, &[1], 100);
    log.append(Entry::Roll { at_ms: 1 }).unwrap();
    append(&mut log, &[2], 100);
    log.trim_idle().unwrap();
    log.write().unwrap();
    log.trim_idle().unwrap();
    settle(&mut log);
    assert_eq!(size_of_last(&disk), 64 * 1024, "not before it is synced");
    log.trim_idle().unwrap();
    let used = size_of_last(&disk);
    assert!(used < 500, "{used}");
    assert_eq!(all(&log).len(), 2, "files and indexes are opened again");
    append(&mut log, &[3], 100);
    settle(&mut log);
    log.trim_idle().unwrap();
    assert_eq!(size_of_last(&disk), 64 * 1024 + used, "not idle");
    assert_eq!(all(&log).len(), 3);
    for disk in [disk.crash(), disk] {
        assert_eq!(all(&open(&disk).unwrap()).len(), 3);
    }
}

#[test]
fn trim_that_fails_closes_the_log_to_writes() {
    let disk = MemoryDisk::new();
    let mut log = open(&disk).unwrap();
    append(&mut log, &[1], 100);
    settle(&mut log);
    log.trim_idle().unwrap();
    disk.fail(Fault {
        at_call: 0,
        kind: io::ErrorKind::Other,
        lasting: true,
    });
    assert!(log.trim_idle().is_err());
    assert!(log.write_error().is_some());
    disk.heal();
    assert_eq!(all(&log).len(), 1, "reads go on");
}
