//! InitProducerId: an id for an idempotent producer, unique for ever. Transactions are not served yet.

use headrace_protocol::ErrorCode;
use headrace_protocol::init_producer_id::{InitProducerIdRequest, InitProducerIdResponse};
use tracing::{info, warn};

use super::Call;

pub(super) async fn handle(call: Call, request: InitProducerIdRequest) -> InitProducerIdResponse {
    let failed = |error_code| InitProducerIdResponse {
        error_code,
        ..InitProducerIdResponse::default()
    };
    if let Some(id) = request.transactional_id {
        // the response has no room for a text
        info!(peer = %call.peer, transactional_id = %id, "transactions are not supported yet");
        return failed(ErrorCode::INVALID_REQUEST);
    }
    match call.node.producer_ids.next(&call.node.registry).await {
        Ok(producer_id) => InitProducerIdResponse {
            producer_id,
            producer_epoch: 0,
            ..InitProducerIdResponse::default()
        },
        Err(failure) => {
            warn!(%failure, "no producer id can be given");
            failed(ErrorCode::COORDINATOR_NOT_AVAILABLE)
        }
    }
}
