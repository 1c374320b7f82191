//! A slice of a mapped file goes to a real socket whatever became of the file: the right bytes or an
//! error, and the process lives.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use rustix::fs::FallocateFlags;
use rustix::io::{Errno, ReadWriteFlags};

use super::*;
use crate::fs::{Disk, OpenMode, RealDisk};

const FILE_BYTES: usize = 300_000;
const FROM: usize = 10_001;
const TO: usize = 290_003;

fn content() -> Vec<u8> {
    (0..FILE_BYTES)
        .map(|at| u8::try_from(at % 251).unwrap())
        .collect()
}

/// Maps a fresh file and gives a slice of it that was not touched yet.
fn mapped(path: &Path) -> MappedSlice {
    std::fs::write(path, content()).unwrap();
    let file = RealDisk.open(path, OpenMode::Read).unwrap();
    let mapping = file.map(u64::try_from(FILE_BYTES).unwrap());
    mapping.unwrap().unwrap().slice(FROM..TO).unwrap()
}

/// What arrives at the other end of a socket, and how the sending ended.
fn send(slice: &MappedSlice) -> (Vec<u8>, io::Result<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let reader = thread::spawn(move || {
        let mut received = Vec::new();
        let (mut stream, _) = listener.accept().unwrap();
        stream.read_to_end(&mut received).unwrap();
        received
    });
    let mut stream = TcpStream::connect(address).unwrap();
    let mut sent = 0;
    let mut result = Ok(());
    while sent < slice.len() {
        let mut rest = slice.io_slice();
        rest.advance(sent);
        match stream.write_vectored(&[IoSlice::new(b""), rest]) {
            Ok(written) => sent += written,
            Err(error) => {
                result = Err(error);
                break;
            }
        }
    }
    drop(stream);
    (reader.join().unwrap(), result)
}

fn writable(path: &Path) -> File {
    OpenOptions::new().write(true).open(path).unwrap()
}

#[test]
fn a_mapped_slice_arrives_whole() {
    let dir = tempfile::tempdir().unwrap();
    let slice = mapped(&dir.path().join("x"));
    let (received, result) = send(&slice);
    result.unwrap();
    assert!(received == content()[FROM..TO]);
    assert!(slice.to_bytes().unwrap() == content()[FROM..TO]);
}

#[test]
fn a_file_unlinked_or_replaced_under_a_slice_arrives_whole() {
    let dir = tempfile::tempdir().unwrap();
    for replaced in [false, true] {
        let path = dir.path().join(format!("x{replaced}"));
        let slice = mapped(&path);
        if replaced {
            let other = dir.path().join("other");
            std::fs::write(&other, vec![7; FILE_BYTES]).unwrap();
            std::fs::rename(&other, &path).unwrap();
        } else {
            std::fs::remove_file(&path).unwrap();
        }
        let (received, result) = send(&slice);
        result.unwrap();
        assert!(received == content()[FROM..TO]);
        assert!(slice.to_bytes().unwrap() == content()[FROM..TO]);
    }
}

#[test]
fn a_file_truncated_under_a_slice_is_an_error_and_not_a_signal() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    let slice = mapped(&path);
    // seen once, so that its pages are mapped when the file goes
    send(&slice).1.unwrap();
    writable(&path).set_len(0).unwrap();
    let (received, result) = send(&slice);
    assert!(received.is_empty());
    let fault = result.unwrap_err();
    assert_eq!(fault.raw_os_error(), Some(14), "EFAULT: {fault}");
    assert!(slice.make_resident().is_err());
    assert_eq!(
        slice.to_bytes().unwrap_err().kind(),
        io::ErrorKind::UnexpectedEof
    );
}

#[test]
fn a_file_cut_within_a_slice_gives_some_of_its_first_bytes_and_then_an_error() {
    const KEPT: usize = 40 * 4096;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    let slice = mapped(&path);
    writable(&path)
        .set_len(u64::try_from(KEPT).unwrap())
        .unwrap();
    let (received, result) = send(&slice);
    assert!(result.is_err());
    // the kernel gives up a whole buffer of the socket with the page that is gone
    assert!(received.len() <= KEPT - FROM);
    assert!(content()[FROM..].starts_with(&received));
}

#[test]
fn a_hole_punched_under_a_slice_arrives_as_the_file_reads() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    let slice = mapped(&path);
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    if rustix::fs::fallocate(writable(&path), hole, 65_536, 65_536).is_err() {
        // a file system without holes cannot do this to us
        return;
    }
    let (received, result) = send(&slice);
    result.unwrap();
    assert!(received == std::fs::read(&path).unwrap()[FROM..TO]);
    assert!(slice.to_bytes().unwrap() == received);
    assert!(
        received[65_536 - FROM..131_072 - FROM]
            .iter()
            .all(|byte| *byte == 0)
    );
}

#[test]
fn a_range_past_the_mapping_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    std::fs::write(&path, b"0123456789").unwrap();
    let file = RealDisk.open(&path, OpenMode::Read).unwrap();
    let mapping = file.map(10).unwrap().unwrap();
    assert_eq!(mapping.slice(3..10).unwrap().to_bytes().unwrap(), "3456789");
    assert!(mapping.slice(10..10).unwrap().is_empty());
    assert!(mapping.slice(3..11).is_none());
    let backwards = Range { start: 4, end: 3 };
    assert!(mapping.slice(backwards).is_none());
}

#[test]
fn a_mapping_keeps_what_it_was_given_until_its_last_slice_goes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    std::fs::write(&path, b"0123456789").unwrap();
    let file = RealDisk.open(&path, OpenMode::Read).unwrap();
    let kept = Arc::new(());
    let mapping = file
        .map(10)
        .unwrap()
        .unwrap()
        .keeping(Arc::clone(&kept) as _);
    let slice = mapping.slice(0..5).unwrap();
    drop(mapping);
    assert_eq!(Arc::strong_count(&kept), 2);
    drop(slice);
    assert_eq!(Arc::strong_count(&kept), 1);
}

#[test]
fn a_range_is_resident_only_if_all_of_it_is_in_memory() {
    const PART: u64 = 2 << 20;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x");
    let file = RealDisk.open(&path, OpenMode::Create).unwrap();
    for part in 0..3 {
        let bytes = vec![7; usize::try_from(PART).unwrap()];
        file.write_at(part * PART, &mut [IoSlice::new(&bytes)])
            .unwrap();
    }
    file.sync_data().unwrap();
    let ranges = [(0, 1), (0, 3 * PART), (PART - 1, 1), (3 * PART - 100, 100)];
    for _ in 0..100 {
        assert!(ranges.iter().all(|(at, len)| file.is_resident(*at, *len)));
    }
    assert!(file.is_resident(5, 0));
    file.drop_cache(PART, PART).unwrap();
    let ends = [PART - 1, 2 * PART - 2].map(|at| file.is_resident(at, 2));
    let mut byte = [0];
    let into = &mut [io::IoSliceMut::new(&mut byte)];
    let reader = File::open(&path).unwrap();
    let read = rustix::io::preadv2(&reader, into, 2 * PART - 1, ReadWriteFlags::NOWAIT);
    if read != Err(Errno::AGAIN) {
        // a file system that keeps its pages
        return;
    }
    assert_eq!(ends, [false; 2]);
    // last, for the probes of a long range make the kernel read ahead
    assert!(!file.is_resident(0, 3 * PART));
    assert!(file.is_resident(0, PART - (64 << 10)));
    file.read_at(PART, usize::try_from(PART).unwrap(), &mut Vec::new())
        .unwrap();
    assert!(file.is_resident(0, 3 * PART));
}
