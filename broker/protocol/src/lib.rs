//! The Kafka wire protocol: one file per API, pure, without input or output.
//!
//! A broker reads a frame and answers it:
//!
//! ```
//! use headrace_protocol::header::{decode_request_frame, encode_request_frame, encode_response_frame};
//! use headrace_protocol::heartbeat::{HeartbeatRequest, HeartbeatResponse};
//! use headrace_protocol::{ErrorCode, Message};
//!
//! let sent = encode_request_frame(7, Some("client".into()), 4, &HeartbeatRequest::default()).unwrap();
//! let frame = bytes::Bytes::from(sent.concat()).slice(4..); // without the length
//!
//! let (header, mut body) = decode_request_frame(frame).unwrap();
//! let request = HeartbeatRequest::decode(&mut body, header.api_version).unwrap();
//! assert_eq!(request.generation_id, 0);
//! let response = HeartbeatResponse { error_code: ErrorCode::UNKNOWN_MEMBER_ID, ..Default::default() };
//! let answer =
//!     encode_response_frame::<HeartbeatRequest>(header.correlation_id, header.api_version, &response).unwrap();
//! let answer = headrace_protocol::Piece::all_in_memory(answer).unwrap();
//! assert_eq!(answer.concat(), [0, 0, 0, 12, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 25, 0]);
//! ```
//!
//! - `messages`: how a message is declared as a table, and how to add an API;
//! - `wire`: the values that tables are made of; `decoder` and `encoder` read and write them, `text` and `records` are
//!   two of them, `value` says how each type and each row of a table lies;
//! - `header`: what stands before every message, and whole frames;
//! - `api_key`, `error_code`: Kafka's numbers and their names;
//! - one module per API, and `consumer_protocol` for what consumers put into their group's opaque bytes.
//!
//! What bytes may do to the decoder is bounded: no panic, and never more memory than 4 times the frame plus 64 KiB.

pub mod api_key;
mod decoder;
mod encoder;
pub mod error_code;
pub mod header;
mod messages;
pub mod records;
pub mod text;
mod value;
pub mod wire;

pub mod alter_configs;
pub mod alter_partition_reassignments;
pub mod api_versions;
pub mod consumer_group_describe;
pub mod consumer_group_heartbeat;
pub mod consumer_protocol;
pub mod create_acls;
pub mod create_partitions;
pub mod create_topics;
pub mod delete_acls;
pub mod delete_groups;
pub mod delete_records;
pub mod delete_topics;
pub mod describe_acls;
pub mod describe_cluster;
pub mod describe_configs;
pub mod describe_groups;
pub mod describe_log_dirs;
pub mod describe_producers;
pub mod describe_topic_partitions;
pub mod elect_leaders;
pub mod fetch;
pub mod find_coordinator;
pub mod heartbeat;
pub mod incremental_alter_configs;
pub mod init_producer_id;
pub mod join_group;
pub mod leave_group;
pub mod list_config_resources;
pub mod list_groups;
pub mod list_offsets;
pub mod list_partition_reassignments;
pub mod metadata;
pub mod offset_commit;
pub mod offset_delete;
pub mod offset_fetch;
pub mod offset_for_leader_epoch;
pub mod produce;
pub mod sync_group;

pub use api_key::ApiKey;
pub use error_code::ErrorCode;
pub use messages::{Message, Request};
pub use records::{Piece, Records, StoredBytes};
pub use text::Str;
pub use wire::{DecodeError, Decoder, EncodeError, Encoder};
