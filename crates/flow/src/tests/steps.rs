//! What random schedules are made of.

use proptest::collection::vec;
use proptest::prop_oneof;
use proptest::sample::select;
use proptest::strategy::{Just, Strategy};
use proptest::test_runner::{Config, RngSeed, TestRunner};

/// The largest message.
pub(super) const MESSAGE: usize = 1 << 20;

/// A world, and what happens in it. Numbers of nodes, processes and receivers count round.
#[derive(Clone, Debug)]
pub(super) struct Schedule {
    pub(super) link_buffer: usize,
    pub(super) memory: usize,
    pub(super) receivers: u64,
    /// How many processes each node has that sends.
    pub(super) senders: Vec<u64>,
    pub(super) steps: Vec<(usize, Step)>,
}

/// What one of the nodes that send does, or what happens to what it has sent.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Send { from: usize, to: usize, len: usize, times: usize },
    Retry,
    Write,
    Written,
    Arrive(usize),
    ArriveBack,
    Take { to: usize, count: u64 },
    StopOrGoOn(usize),
    Exit(usize),
    Reconnect,
    SenderExit { from: usize, to: usize },
    Kill { to: usize },
}

fn schedules() -> impl Strategy<Value = Schedule> {
    let link_buffer = select(vec![64 << 10, 256 << 10, 8 << 20]);
    let memory = select(vec![2 << 20, 4 << 20, 64 << 20]);
    let steps = vec((0..3usize, steps()), 0..1000);
    (link_buffer, memory, 1..=5u64, vec(1..=3u64, 1..=3), steps).prop_map(
        |(link_buffer, memory, receivers, senders, steps)| Schedule {
            link_buffer,
            memory,
            receivers,
            senders,
            steps,
        },
    )
}

/// Each as likely as its weight says.
fn steps() -> impl Strategy<Value = Step> {
    let (from, to) = (0..3usize, 0..5usize);
    let times = prop_oneof![9 => Just(1), 1 => 1..=100usize];
    let send = (from.clone(), to.clone(), lengths(), times);
    prop_oneof![
        350 => send.prop_map(|(from, to, len, times)| Step::Send { from, to, len, times }),
        50 => Just(Step::Retry),
        100 => Just(Step::Write),
        100 => Just(Step::Written),
        160 => (1..=40usize).prop_map(Step::Arrive),
        100 => Just(Step::ArriveBack),
        110 => (to.clone(), 1..=80u64).prop_map(|(to, count)| Step::Take { to, count }),
        8 => to.clone().prop_map(Step::StopOrGoOn),
        4 => to.clone().prop_map(Step::Exit),
        4 => Just(Step::Reconnect),
        10 => (from, to.clone()).prop_map(|(from, to)| Step::SenderExit { from, to }),
        4 => to.prop_map(|to| Step::Kill { to }),
    ]
}

/// Most are small.
fn lengths() -> impl Strategy<Value = usize> {
    let up_to = |limit| {
        let around_a_fragment = (64 << 10)..=(64 << 10) + 1usize;
        prop_oneof![1 => Just(0), 1 => Just(limit), 1 => around_a_fragment, 27 => 0..=limit]
    };
    prop_oneof![12 => up_to(300), 4 => up_to(20 << 10), 2 => up_to(200 << 10), 2 => up_to(MESSAGE)]
}

/// Tries a number of schedules that follows from the environment, or this one: always the same, so that what fails does so again. One
/// that fails is shown with as few steps as can be.
#[allow(clippy::disallowed_methods, reason = "a test may be asked for other schedules")]
pub(super) fn for_each_schedule(cases: u32, test: impl Fn(Schedule)) -> u32 {
    let setting = |key| std::env::var(key).ok().and_then(|n| n.parse::<u32>().ok());
    let seed = setting("CONVOKE_SIM_SEED").unwrap_or(1).into();
    let config = Config {
        cases: setting("CONVOKE_SIM_SEEDS").unwrap_or(cases),
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..Config::default()
    };
    let cases = config.cases;
    let found = TestRunner::new(config).run(&schedules(), |schedule| {
        test(schedule);
        Ok(())
    });
    found.unwrap_or_else(|e| panic!("{e}"));
    cases
}
