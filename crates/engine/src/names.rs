//! Names: the table of bindings, what readers see of it, and how a name is registered.

mod publish;
mod register;
mod table;

pub(crate) use publish::Table;
pub(crate) use table::Names;
