//! How the records of `headrace consume` look.
use clap::Args;

use crate::cli::exit::Usage;
use crate::cli::record::{Format, Part, Writing};

#[derive(Debug, Args)]
pub(super) struct Look {
    /// How a record is shown.
    #[arg(long, value_enum, default_value_t = Format::Raw)]
    format: Format,
    /// The same as --format json.
    #[arg(long, conflicts_with_all = ["format", "print", "key_separator"])]
    json: bool,
    /// What is shown of a record, separated by tabs.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "PART,...")]
    print: Vec<Part>,
    /// Show the key too, with this text between key and value; with --print between all parts.
    #[arg(long, value_name = "TEXT")]
    key_separator: Option<String>,
    /// What is shown for a key or value that is null.
    #[arg(long, value_name = "TEXT", default_value = "")]
    null: String,
}

impl Look {
    pub(super) fn writing(&self) -> anyhow::Result<Writing> {
        let format = if self.json { Format::Json } else { self.format };
        if format == Format::Json && !(self.print.is_empty() && self.key_separator.is_none()) {
            let told = "--format json shows a record whole: leave out --print and --key-separator";
            return Err(Usage(told.to_owned()).into());
        }
        let parts = match (&self.print[..], &self.key_separator) {
            ([], None) => vec![Part::Value],
            ([], Some(_)) => vec![Part::Key, Part::Value],
            (parts, _) => parts.to_vec(),
        };
        let separator = self.key_separator.clone();
        Ok(Writing {
            format,
            parts,
            separator: separator.unwrap_or_else(|| "\t".to_owned()),
            null: self.null.clone(),
        })
    }
}
