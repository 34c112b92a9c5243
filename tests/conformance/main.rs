//! The scenarios that Erlang's own suites run against `global` and `pg2`, and some that they lack, in the form that they
//! have here: through the C interface, with real nodes, links and threads, and with links that are cut by the test.

mod harness;

mod faults;
mod functions;
mod groups;
mod locks;
mod names;
mod partitions;
mod regroup;
mod resolvers;
mod scale;
mod splits;
