//! Links to other nodes: how they come and go, who is dialled, and how peers are judged.

mod admission;
mod balancer;
mod conduct;
mod departure;
mod dial;
mod lifecycle;
mod link;
mod liveness;
mod lookup;
mod paced;
mod peer_counts;
mod relayed;
mod rows;
mod target;
mod told;
mod view;

pub(crate) use conduct::Misconduct;
pub(crate) use departure::Departure;
pub use departure::Ending;
pub(crate) use lifecycle::in_parts;
pub(crate) use view::View;
