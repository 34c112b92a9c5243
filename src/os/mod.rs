//! Safe wrappers of what the system offers and std and tokio do not, or offer as unsafe: one file each, nothing of Convoke's own
//! logic. What rustix and socket2 have is theirs; `unsafe` and libc are for the rest.
#![allow(unsafe_code)] // this room and `ffi` are where unsafe lives

mod epoll;
mod error;
mod event_fd;
mod fd_watch;
mod fork;
mod hidden;
mod limit;
mod own_fds;
mod pages;
mod per_epoch;
mod private_file;
mod signals;
mod socket;
mod thread;
mod timer_fd;
mod user;

pub use epoll::descriptors_of_runtime;
pub use error::is_own_trouble;
pub use event_fd::EventFd;
pub use fd_watch::FdWatch;
pub use fork::{fork_epoch, watch_forks};
pub use hidden::Hidden;
#[cfg(test)]
pub(crate) use hidden::tests as memory;
pub use limit::descriptor_limit;
#[cfg(test)]
pub(crate) use limit::raise_descriptor_limit;
pub use own_fds::OwnFd;
pub use per_epoch::PerEpoch;
pub use private_file::{make_private_file, make_private_folder};
pub use signals::{block_all_signals, with_signals_blocked};
pub use socket::{begin_connect, limit_unsent, set_backlog, shut_down, tune_link_socket};
pub use thread::thread_number;
pub use timer_fd::TimerFd;
pub use user::effective_user;
