//! Random cases for tests of one room.

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngSeed, TestRunner};

/// So many, always the same ones, so that what fails does so again. One that fails is shown as small as it can be made.
pub(crate) fn for_each_case<S: Strategy>(cases: u32, strategy: &S, test: impl Fn(S::Value)) {
    let rng_seed = RngSeed::Fixed(1);
    let config = Config { cases, rng_seed, failure_persistence: None, ..Config::default() };
    let found = TestRunner::new(config).run(strategy, |case| {
        test(case);
        Ok(())
    });
    found.unwrap_or_else(|e| panic!("{e}"));
}
