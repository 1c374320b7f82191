//! Every message and every version against a second opinion, the crate `kafka-protocol`: on random values both must
//! write the same bytes, and each must read the other's bytes and write them again unchanged.

mod values;

use bytes::{Bytes, BytesMut};
use headrace_protocol::{ApiKey, Decoder, Encoder, Message};
use kafka_protocol::protocol::{Decodable, Encodable};
use values::{Pair, Random, Sample, Visitor};

/// Random values for each message and version.
const VALUES: u64 = 500;

/// Messages whose newest version the oracle does not have. They are read back by ourselves only, and `golden.rs` has
/// bytes of each.
const ORACLE_LACKS: [(&str, i16); 6] = [
    ("ListOffsetsRequest", 11),
    ("ListOffsetsResponse", 11),
    ("OffsetCommitRequest", 10),
    ("OffsetFetchRequest", 10),
    ("DescribeLogDirsRequest", 5),
    ("DescribeLogDirsResponse", 5),
];

#[derive(Default)]
struct Agreement {
    compared: usize,
    lacking: Vec<(String, i16)>,
}

fn our_bytes<M: Message>(message: &M, version: i16) -> Bytes {
    let mut to = Encoder::new();
    message
        .encode(&mut to, version)
        .expect("a value of this version");
    to.finish().expect("the sizes fit").concat().into()
}

fn oracle_bytes<M: Encodable>(message: &M, version: i16) -> Bytes {
    let mut to = BytesMut::new();
    message
        .encode(&mut to, version)
        .expect("a value of this version");
    to.freeze()
}

fn check_ours<M: Pair>(ours: &M, bytes: &Bytes, version: i16, case: &str) {
    let mut from = Decoder::new(bytes.clone());
    let read = M::decode(&mut from, version).unwrap_or_else(|error| panic!("{case}: {error}"));
    assert_eq!(from.left(), 0, "{case}: all bytes read");
    assert_eq!(&read, ours, "{case}: the value read back");
    assert_eq!(&our_bytes(&read, version), bytes, "{case}: written again");
}

fn check_oracle<M: Pair>(seed: u64, bytes: &Bytes, version: i16, case: &str) {
    let theirs = <M::Oracle as Sample>::sample(&mut Random::new(seed), version);
    assert_eq!(
        bytes,
        &oracle_bytes(&theirs, version),
        "{case}: the same value"
    );
    let read = M::Oracle::decode(&mut bytes.clone(), version)
        .unwrap_or_else(|error| panic!("{case}: the oracle refuses our bytes: {error}"));
    assert_eq!(read, theirs, "{case}: our bytes as the oracle reads them");
    assert_eq!(
        &oracle_bytes(&read, version),
        bytes,
        "{case}: our bytes through the oracle"
    );
}

impl Visitor for Agreement {
    fn visit<M: Pair>(&mut self, name: &str) {
        let oracle = <M::Oracle as kafka_protocol::protocol::Message>::VERSIONS;
        for version in M::VERSIONS {
            let oracle_has_it = (oracle.min..=oracle.max).contains(&version);
            if oracle_has_it {
                self.compared += 1;
            } else {
                self.lacking.push((name.to_owned(), version));
            }
            for seed in 0..VALUES {
                let case = format!("{name} version {version} seed {seed}");
                let ours = M::sample(&mut Random::new(seed), version);
                let bytes = our_bytes(&ours, version);
                check_ours(&ours, &bytes, version, &case);
                if oracle_has_it {
                    check_oracle::<M>(seed, &bytes, version, &case);
                }
            }
        }
    }
}

#[test]
fn every_message_and_version_agrees_with_the_oracle() {
    let mut agreement = Agreement::default();
    values::for_each_message(&mut agreement);
    let lacking: Vec<_> = agreement
        .lacking
        .iter()
        .map(|(name, version)| (name.as_str(), *version))
        .collect();
    assert_eq!(lacking, ORACLE_LACKS);
    let served = ApiKey::ALL
        .iter()
        .filter_map(|key| key.served())
        .map(Iterator::count)
        .sum::<usize>();
    let consumer_protocol = 2 * 4;
    assert_eq!(
        agreement.compared + lacking.len(),
        2 * served + consumer_protocol,
        "each API is visited in `values`"
    );
}
