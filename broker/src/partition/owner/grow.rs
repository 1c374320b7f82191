//! More partitions for a topic that is there: as a creation, for those that are new.

use std::sync::Arc;

use tracing::info;

use super::{Owner, Votes, drop_logs, publishable, writer};
use crate::controller::image::TopicRecord;
use crate::partition::registry::{ChangeFailure, Growth};
use crate::partition::topics::{Partition, Topics};

impl Owner {
    /// Whether a topic could grow; gives it as it would be.
    pub(super) fn check_growth(&self, growth: &Growth) -> Result<TopicRecord, ChangeFailure> {
        let grown = self.image.check_growth(growth.id, growth.partitions);
        let grown = grown.ok_or(ChangeFailure::Unknown)??;
        if self.unsure.contains(&growth.id) {
            let reason = "the catalogue could not be written when this topic was to grow before; restart the broker, then look how many partitions it has";
            return Err(ChangeFailure::Disk(reason.to_owned()));
        }
        if self.space.admits(writer(&grown.name)) {
            Ok(grown)
        } else {
            Err(ChangeFailure::NoSpace)
        }
    }

    pub(super) fn grow(&mut self, growth: &Growth) -> Result<(), ChangeFailure> {
        let record = self.check_growth(growth)?;
        let mut topics = Topics::clone(&self.topics.load());
        let before = topics
            .by_id(record.id)
            .cloned()
            .ok_or(ChangeFailure::Unknown)?;
        let has = i32::try_from(before.partitions.len()).expect("bounded by the image");
        let handles = self.open_new(&record, has..record.partitions)?;
        let mut image = self.image.clone();
        image.insert(record.clone());
        if let Err(failed) = self.write(image) {
            // as with a creation; but here the next try would find logs of which it knows nothing
            drop_logs(&handles, Votes::Stay);
            self.unsure.insert(record.id);
            return Err(failed);
        }
        info!(topic = %record.name, id = %record.id, before = has, partitions = record.partitions, "topic has more partitions");
        let added = handles.into_iter().map(Partition::Served);
        let partitions = before.partitions.iter().cloned().chain(added).collect();
        let config = self.config_of(&record);
        topics.insert(Arc::new(publishable(record, config, partitions)));
        self.topics.store(Arc::new(topics));
        Ok(())
    }
}
