//! Room `mesh`.
