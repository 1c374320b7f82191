//! What a Tantivy target needs of a view, checked without touching the folder.
use crate::config::{ConfigError, ViewConfig};

/// Refuses settings that mean nothing to an index.
pub fn check(view: &ViewConfig) -> Result<(), ConfigError> {
    if view.as_.is_some() {
        let error = ConfigError::new(&view.name, "as", "`as` belongs to Redis views");
        return Err(error.hint("leave it out: an index keeps documents"));
    }
    Ok(())
}
