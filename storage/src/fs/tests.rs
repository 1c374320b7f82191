//! The contract of the disk, held by both implementations, and what only memory can do.

use std::io::{self, IoSlice};
use std::path::Path;

use super::*;

/// Runs one fact on a real directory, on one in memory, and on a real one behind a cache that has room
/// for a single file.
fn on_all(fact: impl Fn(&dyn Disk, &Path)) {
    let cached = CachedDisk::new(Arc::new(RealDisk), 1);
    let disks: [&dyn Disk; 2] = [&RealDisk, &cached];
    for disk in disks {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("a").join("b");
        disk.create_dir_all(&root).unwrap();
        fact(disk, &root);
    }
    let memory = MemoryDisk::new();
    let root = Path::new("/a/b");
    memory.create_dir_all(root).unwrap();
    fact(&memory, root);
}

fn write(file: &dyn DiskFile, position: u64, parts: &[&[u8]]) {
    let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
    file.write_at(position, &mut slices).unwrap();
}

fn read(file: &dyn DiskFile, position: u64, len: usize) -> Vec<u8> {
    let mut out = Vec::new();
    file.read_at(position, len, &mut out).unwrap();
    out
}

#[test]
fn writes_are_read_back_at_their_positions() {
    on_all(|disk, root| {
        let file = disk.open(&root.join("x"), OpenMode::Create).unwrap();
        write(&*file, 0, &[b"hello ", b"", b"world"]);
        write(&*file, 20, &[b"far"]);
        assert_eq!(file.size().unwrap(), 23);
        assert_eq!(read(&*file, 0, 11), b"hello world");
        assert_eq!(read(&*file, 11, 9), [0; 9], "a hole reads as zeros");
        assert_eq!(read(&*file, 21, 100), b"ar", "a read stops at the end");
        assert_eq!(read(&*file, 99, 5), b"");
        let mut out = b"kept".to_vec();
        file.read_at(0, 2, &mut out).unwrap();
        assert_eq!(out, b"kepthe");
        let again = disk.open(&root.join("x"), OpenMode::Read).unwrap();
        assert_eq!(read(&*again, 6, 5), b"world");
    });
}

#[test]
fn the_room_of_a_disk_is_told() {
    on_all(|disk, root| {
        let space = disk.space(root).unwrap();
        assert!(space.total_bytes > 0 && space.free_bytes <= space.total_bytes);
    });
    assert!(RealDisk.space(Path::new("/no/such/place")).is_err());
    let memory = MemoryDisk::new();
    let little = Space {
        free_bytes: 1,
        total_bytes: 2,
    };
    memory.set_space(little);
    assert_eq!(memory.space(Path::new("/")).unwrap(), little);
    assert_eq!(memory.calls(), 0, "asking is no call that fails");
}

#[test]
fn more_slices_than_one_call_takes_are_written() {
    on_all(|disk, root| {
        let file = disk.open(&root.join("x"), OpenMode::Create).unwrap();
        let bytes: Vec<u8> = (0..5000_u32).flat_map(u32::to_be_bytes).collect();
        let mut slices: Vec<IoSlice<'_>> = bytes.chunks(3).map(IoSlice::new).collect();
        file.write_at(7, &mut slices).unwrap();
        assert_eq!(read(&*file, 7, bytes.len()), bytes);
    });
}

#[test]
fn sizes_are_set_and_room_reads_as_zeros() {
    on_all(|disk, root| {
        let file = disk.open(&root.join("x"), OpenMode::Create).unwrap();
        write(&*file, 0, &[b"12345678"]);
        match file.allocate(4096) {
            Ok(()) => {
                assert_eq!(file.size().unwrap(), 4096);
                assert_eq!(read(&*file, 0, 10), b"12345678\0\0");
            }
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::Unsupported),
        }
        file.set_size(3).unwrap();
        assert_eq!(read(&*file, 0, 10), b"123");
        file.set_size(5).unwrap();
        assert_eq!(read(&*file, 0, 10), b"123\0\0");
        file.sync_data().unwrap();
    });
}

#[test]
fn modes_say_whether_a_file_must_exist() {
    on_all(|disk, root| {
        let path = root.join("x");
        for mode in [OpenMode::Read, OpenMode::Write] {
            assert_eq!(
                disk.open(&path, mode).unwrap_err().kind(),
                io::ErrorKind::NotFound
            );
        }
        drop(disk.open(&path, OpenMode::Create).unwrap());
        let error = disk.open(&path, OpenMode::Create).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        let file = disk.open(&path, OpenMode::Read).unwrap();
        assert!(file.write_at(0, &mut [IoSlice::new(b"x")]).is_err());
        let error = disk.open(&root.join("no/y"), OpenMode::Create).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    });
}

#[test]
fn names_are_listed_renamed_and_removed() {
    on_all(|disk, root| {
        for name in ["c", "a"] {
            write(
                &*disk.open(&root.join(name), OpenMode::Create).unwrap(),
                0,
                &[name.as_bytes()],
            );
        }
        disk.create_dir_all(&root.join("b/deep")).unwrap();
        assert_eq!(disk.list(root).unwrap(), ["a", "b", "c"]);
        disk.rename(&root.join("a"), &root.join("c")).unwrap();
        assert_eq!(disk.list(root).unwrap(), ["b", "c"]);
        let file = disk.open(&root.join("c"), OpenMode::Read).unwrap();
        assert_eq!(read(&*file, 0, 9), b"a");
        disk.remove(&root.join("c")).unwrap();
        assert_eq!(read(&*file, 0, 9), b"a", "an open handle stays readable");
        disk.sync_dir(root).unwrap();
        disk.remove_dir_all(&root.join("b")).unwrap();
        assert!(disk.list(root).unwrap().is_empty());
        for missing in [
            disk.remove(&root.join("c")),
            disk.rename(&root.join("c"), &root.join("d")),
        ] {
            assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
        }
        let gone = root.join("b");
        for missing in [
            disk.remove_dir_all(&gone),
            disk.sync_dir(&gone),
            disk.list(&gone).map(drop),
        ] {
            assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
        }
    });
}

#[test]
fn atomic_files_are_replaced_and_damage_is_noticed() {
    on_all(|disk, root| {
        let path = root.join("meta");
        assert_eq!(read_atomic(disk, &path).unwrap(), None);
        write_atomic(disk, &path, b"first").unwrap();
        drop(disk.open(&root.join("meta.tmp"), OpenMode::Create).unwrap());
        write_atomic(disk, &path, b"second").unwrap();
        assert_eq!(read_atomic(disk, &path).unwrap().unwrap(), b"second");
        let file = disk.open(&path, OpenMode::Write).unwrap();
        let whole = read(&*file, 0, 1000);
        for at in 0..whole.len() {
            write(&*file, as_u64(at), &[&[whole[at] ^ 1]]);
            assert!(matches!(
                read_atomic(disk, &path),
                Err(AtomicFileError::Damaged { .. })
            ));
            write(&*file, as_u64(at), &[&whole[at..=at]]);
        }
        file.set_size(as_u64(whole.len() - 1)).unwrap();
        assert!(matches!(
            read_atomic(disk, &path),
            Err(AtomicFileError::Damaged { .. })
        ));
    });
}

fn as_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap()
}

#[test]
fn crash_forgets_unsynced_bytes_sizes_and_names() {
    let disk = MemoryDisk::new();
    let root = Path::new("/d");
    disk.create_dir_all(root).unwrap();
    let file = disk.open(&root.join("x"), OpenMode::Create).unwrap();
    write(&*file, 0, &[b"synced"]);
    file.sync_data().unwrap();
    assert!(
        disk.crash().list(root).unwrap().is_empty(),
        "the name is not durable"
    );
    disk.sync_dir(root).unwrap();
    write(&*file, 0, &[b"LATER!"]);
    file.set_size(99).unwrap();
    disk.rename(&root.join("x"), &root.join("y")).unwrap();
    let after = disk.crash();
    assert_eq!(after.bytes_of(&root.join("x")).unwrap(), b"synced");
    assert_eq!(after.list(root).unwrap(), ["x"]);
    assert_eq!(
        disk.list(root).unwrap(),
        ["y"],
        "the disk before the crash is not changed"
    );
}

#[test]
fn crash_can_keep_parts_of_writes() {
    let disk = MemoryDisk::new();
    let root = Path::new("/d");
    disk.create_dir_all(root).unwrap();
    let file = disk.open(&root.join("x"), OpenMode::Create).unwrap();
    for part in 0..3_u8 {
        write(&*file, u64::from(part) * 4, &[&[b'a' + part; 4]]);
    }
    let mut fates = [Surviving::All, Surviving::None, Surviving::First(1)].into_iter();
    let after = disk.crash_keeping(true, &mut |_, _| fates.next().unwrap());
    assert_eq!(after.bytes_of(&root.join("x")).unwrap(), b"aaaa\0\0\0\0c");
}

#[test]
fn chosen_call_fails_after_half_of_a_write() {
    let disk = MemoryDisk::new();
    let root = Path::new("/d");
    disk.create_dir_all(root).unwrap();
    let file = disk.open(&root.join("x"), OpenMode::Create).unwrap();
    disk.fail(Fault {
        at_call: 1,
        kind: io::ErrorKind::StorageFull,
        lasting: false,
    });
    write(&*file, 0, &[b"good"]);
    let failed = file.write_at(4, &mut [IoSlice::new(b"lost")]).unwrap_err();
    assert_eq!(failed.kind(), io::ErrorKind::StorageFull);
    assert_eq!(disk.bytes_of(&root.join("x")).unwrap(), b"goodlo");
    file.sync_data().unwrap();
    disk.fail(Fault {
        at_call: 0,
        kind: io::ErrorKind::Other,
        lasting: true,
    });
    assert!(file.sync_data().is_err());
    assert!(disk.list(root).is_err());
    disk.heal();
    assert!(disk.list(root).is_ok());
}

/// A disk with one synced file `/d/x` that holds "old bytes".
fn with_file() -> (MemoryDisk, Arc<dyn DiskFile>) {
    let disk = MemoryDisk::new();
    let root = Path::new("/d");
    disk.create_dir_all(root).unwrap();
    let file = disk.open(&root.join("x"), OpenMode::Create).unwrap();
    write(&*file, 0, &[b"old bytes"]);
    file.sync_data().unwrap();
    disk.sync_dir(root).unwrap();
    (disk, file)
}

#[test]
fn each_unsynced_change_has_its_own_fate() {
    let (disk, file) = with_file();
    let x = Path::new("/d/x");
    write(&*file, 0, &[b"NEW"]);
    file.allocate(12).unwrap();
    write(&*file, 4, &[b"BYTES"]);
    disk.rename(x, Path::new("/d/y")).unwrap();
    drop(disk.open(x, OpenMode::Create).unwrap());
    let kinds: Vec<UnsyncedKind> = disk.unsynced().iter().map(|one| one.kind).collect();
    let writes = [UnsyncedKind::Write(3), UnsyncedKind::Write(5)];
    let (size, name) = (UnsyncedKind::Size, UnsyncedKind::Name);
    assert_eq!(kinds, [writes[0], size, writes[1], name, name]);
    let (lost, kept) = (Fate::Lost, Fate::Kept);
    let after = |fates: [&Fate; 5], garbage| {
        let after = disk.crash_as(&fates.map(Clone::clone), garbage);
        (after.bytes_of(x), after.bytes_of(Path::new("/d/y")))
    };
    let some = |bytes: &[u8]| Some(bytes.to_vec());
    let first = Fate::Only(0..1);
    let hole = Fate::Without(1..3);
    assert_eq!(
        after([&first, &lost, &hole, &lost, &lost], Garbage::Zeros),
        (some(b"Nld BytES"), None)
    );
    assert_eq!(
        after([&lost, &kept, &lost, &kept, &lost], Garbage::Zeros),
        (None, some(b"old bytes\0\0\0"))
    );
    assert_eq!(
        after([&lost, &lost, &lost, &lost, &kept], Garbage::Zeros),
        (some(b""), None)
    );
    let (_, noise) = after([&kept, &kept, &kept, &kept, &kept], Garbage::Noise);
    assert_eq!(noise.unwrap()[..9], *b"NEW BYTES");
}

#[test]
fn room_of_a_lost_write_may_hold_stale_blocks() {
    let (disk, file) = with_file();
    write(&*file, 9, &[&[b'.'; 2000]]);
    let after = disk.crash_as(&[Fate::Only(1030..1031)], Garbage::Stale);
    let bytes = after.bytes_of(Path::new("/d/x")).unwrap();
    assert_eq!(bytes.len(), 1040);
    assert_eq!(bytes[1024..], *b"old bytes\0\0\0\0\0\0.");
}

#[test]
fn failed_sync_abandons_bytes_that_later_syncs_do_not_write() {
    let (disk, file) = with_file();
    let x = Path::new("/d/x");
    write(&*file, 0, &[b"LOST"]);
    disk.fail(Fault {
        at_call: 0,
        kind: io::ErrorKind::Other,
        lasting: false,
    });
    assert!(file.sync_data().is_err());
    write(&*file, 8, &[b"!"]);
    file.sync_data().unwrap();
    assert_eq!(disk.bytes_of(x).unwrap(), b"LOSTbyte!");
    assert_eq!(disk.durable_bytes_of(x).unwrap(), b"old byte!");
    assert_eq!(disk.unsynced().len(), 1);
    disk.drop_caches();
    assert_eq!(disk.bytes_of(x).unwrap(), b"old byte!");
    disk.rename(x, Path::new("/d/y")).unwrap();
    disk.sync_everything().unwrap();
    assert!(disk.unsynced().is_empty());
}

#[test]
fn recorded_calls_are_done_again_one_by_one() {
    let (disk, file) = with_file();
    disk.record();
    write(&*file, 0, &[b"NEW"]);
    file.sync_data().unwrap();
    disk.remove(Path::new("/d/x")).unwrap();
    assert_eq!(disk.recorded(), 3);
    let trace = disk.take_trace();
    let mut replay = trace.replay();
    let mut seen = Vec::new();
    loop {
        let durable = replay.disk().durable_bytes_of(Path::new("/d/x"));
        seen.push((replay.disk().bytes_of(Path::new("/d/x")), durable));
        if !replay.step() {
            break;
        }
    }
    let (old, new) = (Some(b"old bytes".to_vec()), Some(b"NEW bytes".to_vec()));
    let wanted = [
        (old.clone(), old.clone()),
        (new.clone(), old),
        (new.clone(), new.clone()),
        (None, new),
    ];
    assert_eq!(seen, wanted);
    assert!(
        replay.last_call().contains("Remove"),
        "{}",
        replay.last_call()
    );
}
