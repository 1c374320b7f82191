//! InitProducerId (key 22): the id and epoch that an idempotent or transactional producer stamps its batches with.

use crate::error_code::ErrorCode;
use crate::messages::messages;
use crate::text::Str;

messages! {
    api InitProducerId [0..=5, flexible 2]: InitProducerIdRequest => InitProducerIdResponse;

    /// Asks for an id, or for the next epoch of one.
    pub struct InitProducerIdRequest {
        transactional_id: Option<Str> [..];
        transaction_timeout_ms: i32 [..];
        /// -1 for a new one.
        producer_id: i64 [3..] = -1;
        /// -1 for a new one.
        producer_epoch: i16 [3..] = -1;
    }

    /// The id and its epoch; -1 with an error.
    pub struct InitProducerIdResponse {
        throttle_time_ms: i32 [..];
        error_code: ErrorCode [..];
        producer_id: i64 [..] = -1;
        producer_epoch: i16 [..] = -1;
    }
}
