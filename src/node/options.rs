//! Options: one table of keys, checked when they are set.

use crate::node::Result;
use std::path::Path;

/// A row of the table of options.
#[derive(Debug)]
pub struct OptionInfo {
    pub key: &'static str,
    pub default: &'static str,
    pub unit: &'static str,
    pub meaning: &'static str,
}

/// Every key there is.
pub const OPTIONS: &[OptionInfo] = &[];

#[derive(Clone, Debug, Default)]
pub struct Options {}

impl Options {
    pub fn new() -> Options {
        Options::default()
    }
    pub fn set(&mut self, _key: &str, _value: &str) -> Result<()> {
        Ok(())
    }
    pub fn set_bytes(&mut self, _key: &str, _value: &[u8]) -> Result<()> {
        Ok(())
    }
    pub fn load(&mut self, _path: &Path) -> Result<()> {
        Ok(())
    }
}
