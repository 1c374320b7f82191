//! What the bound does: who is closed, who never is, and what a closed handle still gives.

use std::thread;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;

use super::*;
use crate::fs::{Fault, MemoryDisk, RealDisk};

/// A real directory behind a cache of so many files.
fn cached(files_max: usize) -> (TempDir, CachedDisk) {
    let dir = tempfile::tempdir().unwrap();
    (dir, CachedDisk::new(Arc::new(RealDisk), files_max))
}

fn write(file: &dyn DiskFile, bytes: &[u8]) {
    file.write_at(0, &mut [IoSlice::new(bytes)]).unwrap();
}

/// A new, synced file that holds its own name.
fn make(disk: &CachedDisk, dir: &TempDir, name: &str) -> Arc<dyn DiskFile> {
    let file = disk.open(&dir.path().join(name), OpenMode::Create).unwrap();
    write(&*file, name.as_bytes());
    file.sync_data().unwrap();
    file
}

fn read(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    let mut out = Vec::new();
    file.read_at(0, 100, &mut out)?;
    Ok(out)
}

fn is_gone(file: &dyn DiskFile) -> bool {
    read(file).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// The descriptors of this process that lie in the directory.
fn descriptors(dir: &TempDir) -> usize {
    let all = std::fs::read_dir("/proc/self/fd").unwrap();
    let links = all.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    links.filter(|link| link.starts_with(dir.path())).count()
}

#[test]
fn many_files_need_few_descriptors() {
    let (dir, disk) = cached(5);
    let files: Vec<_> = (0..60)
        .map(|number| make(&disk, &dir, &format!("file {number}")))
        .collect();
    for round in 0..3 {
        for (number, file) in files.iter().enumerate() {
            assert_eq!(read(&**file).unwrap(), format!("file {number}").as_bytes());
            assert!(descriptors(&dir) <= 5, "round {round}, file {number}");
        }
    }
    assert_eq!(disk.open_files(), descriptors(&dir));
    drop(files);
    assert_eq!((disk.open_files(), descriptors(&dir)), (0, 0));
}

#[test]
fn least_recently_used_is_closed_first() {
    let (dir, disk) = cached(3);
    let files = ["a", "b", "c"].map(|name| make(&disk, &dir, name));
    for name in ["a", "b", "c"] {
        // without its name a file is readable for as long as it is open
        disk.remove(&dir.path().join(name)).unwrap();
    }
    assert_eq!(read(&*files[0]).unwrap(), b"a");
    let _d = make(&disk, &dir, "d");
    assert!(is_gone(&*files[1]), "b was used before a and c");
    assert_eq!(read(&*files[0]).unwrap(), b"a");
    assert_eq!(read(&*files[2]).unwrap(), b"c");
}

#[test]
fn a_file_with_unsynced_bytes_is_not_closed_for_others_that_are_synced() {
    let (dir, disk) = cached(2);
    let dirty = disk
        .open(&dir.path().join("dirty"), OpenMode::Create)
        .unwrap();
    write(&*dirty, b"unsynced");
    disk.remove(&dir.path().join("dirty")).unwrap();
    let _others: Vec<_> = (0..10)
        .map(|number| make(&disk, &dir, &number.to_string()))
        .collect();
    assert_eq!(read(&*dirty).unwrap(), b"unsynced");
    dirty.sync_data().unwrap();
    let _more: Vec<_> = (10..20)
        .map(|number| make(&disk, &dir, &number.to_string()))
        .collect();
    assert!(is_gone(&*dirty), "synced, it is one of many");
}

#[test]
fn unsynced_files_are_synced_and_closed_where_there_are_no_others() {
    let memory = MemoryDisk::new();
    memory.create_dir_all(Path::new("/d")).unwrap();
    let disk = CachedDisk::new(Arc::new(memory.clone()), 4);
    let path = |number: usize| PathBuf::from(format!("/d/{number}"));
    let open = |number| disk.open(&path(number), OpenMode::Create).unwrap();
    let files: Vec<_> = (0..20).map(open).collect();
    memory.sync_dir(Path::new("/d")).unwrap();
    for round in 0..3 {
        for file in &files {
            write(&**file, &[round; 9]);
            assert!(disk.open_files() <= 4);
        }
    }
    let kept = memory.crash();
    for number in 0..16 {
        assert_eq!(kept.bytes_of(&path(number)).unwrap(), [2; 9], "{number}");
    }
    for file in &files {
        file.sync_data().unwrap();
        assert_eq!(read(&**file).unwrap(), [2; 9]);
    }
}

#[test]
fn sync_that_failed_for_the_room_of_others_is_told_to_the_next() {
    let memory = MemoryDisk::new();
    memory.create_dir_all(Path::new("/d")).unwrap();
    let disk = CachedDisk::new(Arc::new(memory.clone()), 1);
    let open = |name: &str| disk.open(&Path::new("/d").join(name), OpenMode::Create);
    let first = open("first").unwrap();
    write(&*first, b"unsynced");
    memory.fail(Fault {
        at_call: 0,
        kind: io::ErrorKind::Other,
        lasting: false,
    });
    let _second = open("second").unwrap();
    for _ in 0..2 {
        first.sync_data().unwrap_err();
    }
    assert_eq!(disk.open_files(), 2, "it keeps its descriptor");
}

#[test]
fn a_closed_file_is_written_on_where_it_was() {
    let (dir, disk) = cached(1);
    let log = make(&disk, &dir, "log");
    let _other = make(&disk, &dir, "other");
    log.write_at(3, &mut [IoSlice::new(b" goes on")]).unwrap();
    let _another = make(&disk, &dir, "another");
    assert_eq!(read(&*log).unwrap(), b"log goes on");
    log.sync_data().unwrap();
    assert_eq!(log.size().unwrap(), 11);
}

#[test]
fn a_handle_never_reads_a_file_that_took_its_name() {
    let (dir, disk) = cached(1);
    let place = dir.path().join("x");
    let old = make(&disk, &dir, "x");
    disk.remove(&place).unwrap();
    let new = disk.open(&place, OpenMode::Create).unwrap();
    write(&*new, b"new");
    new.sync_data().unwrap();
    assert!(is_gone(&*old));
    let replacement = make(&disk, &dir, "y");
    disk.rename(&dir.path().join("y"), &place).unwrap();
    let _other = make(&disk, &dir, "other");
    assert!(is_gone(&*new), "replaced by a rename");
    assert_eq!(read(&*replacement).unwrap(), b"y", "it followed the rename");
    disk.remove_dir_all(dir.path()).unwrap();
    disk.create_dir_all(dir.path()).unwrap();
    let _again = make(&disk, &dir, "x");
    assert!(is_gone(&*replacement));
}

#[test]
fn mappings_on_their_way_out_are_counted_and_bounded() {
    let (dir, disk) = cached(3);
    let files: Vec<_> = (0..6)
        .map(|number| make(&disk, &dir, &number.to_string()))
        .collect();
    let slice = |file: &Arc<dyn DiskFile>| Some(file.map(1).unwrap()?.slice(0..1).unwrap());
    let slices: Vec<_> = files.iter().map(slice).collect();
    assert!(slices[..3].iter().all(Option::is_some));
    assert!(
        slices[4..].iter().all(Option::is_none),
        "no mapping beyond the bound"
    );
    let held = slices.iter().flatten().count();
    assert!(descriptors(&dir) <= held + 1, "one more to read by");
    for (number, slice) in slices.iter().enumerate() {
        let bytes = slice.as_ref().map(|slice| slice.to_bytes().unwrap());
        assert!(bytes.is_none_or(|bytes| bytes == number.to_string()));
        assert_eq!(
            read(&*files[number]).unwrap(),
            number.to_string().as_bytes()
        );
    }
    drop(slices);
    assert!(slice(&files[5]).is_some(), "there is room again");
}

#[test]
fn threads_share_a_cache_that_is_too_small() {
    let (dir, disk) = cached(3);
    let files: Vec<_> = (0..20)
        .map(|number| make(&disk, &dir, &number.to_string()))
        .collect();
    thread::scope(|scope| {
        for first in 0..4 {
            let files = &files;
            scope.spawn(move || {
                for step in 0..2000 {
                    let number = (first * 7 + step * 13) % files.len();
                    let file = &files[number];
                    assert_eq!(read(&**file).unwrap(), number.to_string().as_bytes());
                    if step % 10 == first {
                        write(&**file, number.to_string().as_bytes());
                        file.sync_data().unwrap();
                    }
                }
            });
        }
    });
    assert!(
        disk.open_files() <= 3 + 4,
        "one more for each thread at most"
    );
}

/// Below the bound nothing is closed, and yet openings leave nothing behind.
#[test]
fn memory_is_bounded_by_the_handles_there_are() {
    let (dir, disk) = cached(100);
    let _kept = make(&disk, &dir, "kept");
    for _ in 0..500 {
        let short = disk.open(&dir.path().join("kept"), OpenMode::Read).unwrap();
        assert_eq!(read(&*short).unwrap(), b"kept");
    }
    let listed = lock(&disk.cache.files).len();
    assert!(listed <= 16, "{listed} entries for one handle");
}

#[test]
fn a_handle_is_listed_once_however_often_it_was_closed() {
    let (dir, disk) = cached(32);
    let files: Vec<_> = (0..34)
        .map(|number| make(&disk, &dir, &number.to_string()))
        .collect();
    for step in 0..2000 {
        read(&*files[step * 7 % files.len()]).unwrap();
        let listed = lock(&disk.cache.files).len();
        assert!(listed <= files.len(), "step {step}: {listed} entries");
    }
}

/// Runs in a process of its own, because it takes the descriptors away.
#[test]
fn without_descriptors_others_are_closed_for_a_new_file() {
    const ALONE: &str = "HEADRACE_TEST_WITH_FEW_DESCRIPTORS";
    if std::env::var_os(ALONE).is_none() {
        let program = std::env::current_exe().unwrap();
        let name = thread::current().name().unwrap().to_owned();
        let mut alone = std::process::Command::new(program);
        alone
            .args(["--exact", &name, "--nocapture"])
            .env(ALONE, "1");
        assert!(alone.status().unwrap().success());
        return;
    }
    let (dir, disk) = cached(100_000);
    let few = Rlimit {
        current: Some(40),
        ..getrlimit(Resource::Nofile)
    };
    setrlimit(Resource::Nofile, few).unwrap();
    let files: Vec<_> = (0..300)
        .map(|number| make(&disk, &dir, &number.to_string()))
        .collect();
    for file in &files {
        write(&**file, b"unsynced");
    }
    for file in &files {
        assert_eq!(&read(&**file).unwrap()[..1], b"u");
        file.sync_data().unwrap();
    }
}
