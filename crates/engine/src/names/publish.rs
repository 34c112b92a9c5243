//! What readers are to see otherwise after an input. Each name is published once, however often it changed meanwhile.

use crate::machine::Engine;
use crate::*;

/// An effect on the tables. A node that is lost takes very many names with it, so this is small.
pub(crate) enum Table {
    Name(Name, Option<Pid>),
    Other(Box<Effect>),
}

impl From<Table> for Effect {
    fn from(table: Table) -> Self {
        match table {
            Table::Name(name, pid) => Self::PublishName { name, pid },
            Table::Other(effect) => *effect,
        }
    }
}

/// Room for so many names is not given back between two inputs.
const KEPT: usize = 1024;

impl Engine {
    /// A row of the name has changed: readers may see something else, and what hangs on the name is judged anew.
    pub(super) fn row_changed(&mut self, name: &Name) {
        if self.names.unpublished.last() != Some(name) {
            self.names.unpublished.push(name.clone());
        }
        self.cx.dirty.mark_name(name);
    }

    pub(crate) fn publish_names(&mut self) {
        let mut unpublished = std::mem::take(&mut self.names.unpublished);
        unpublished.sort_unstable();
        unpublished.dedup();
        for name in unpublished.drain(..) {
            let Some((old, new)) = self.names.publish(&name) else { continue };
            self.cx.out.table(Table::Name(name.clone(), new));
            for (process, reference) in self.processes.name_watchers(&name) {
                let event = Event::NameChanged { reference, name: name.clone(), old, new, changes: 1 };
                self.cx.out.event(Effect::Notify { process, event });
            }
        }
        if unpublished.capacity() <= KEPT {
            self.names.unpublished = unpublished;
        }
    }
}
