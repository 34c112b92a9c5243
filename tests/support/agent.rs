//! A node in an OS process of its own: `agent.c`, played with through its standard input and output.

use crate::support;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Longer than anything may take; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(150);

fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let program = support::scratch_dir("agent").join("agent");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/agent.c");
        support::compile_c(&source, &program);
        program
    })
}

pub struct Agent {
    child: Child,
    commands: ChildStdin,
    lines: Receiver<String>,
    /// Events that were read while waiting for something else, in order.
    events: Vec<String>,
    pub name: String,
    pub address: String,
}

/// The cluster of the test on whose thread this is called, as one word.
pub fn cluster() -> String {
    convoke::testing::cluster().replace(' ', "-")
}

/// What an agent is told that opens a node.
pub fn open_command(options: &str) -> String {
    format!("open cluster={} {options}", cluster())
}

impl Agent {
    /// Starts a process and opens a node in it. `options`: "key=value key=value".
    pub fn open(name: &str, seeds: &[&str], options: &str) -> Self {
        let mut agent = Self::start(|_| {});
        let seeds = if seeds.is_empty() { String::new() } else { format!(" seeds={}", seeds.join(",")) };
        agent.open_node(&format!("name={name}{seeds} {options}"));
        agent
    }

    /// Opens the node of a process that was only started.
    pub fn open_node(&mut self, options: &str) {
        let answer = self.call(&open_command(options));
        let mut words = answer.strip_prefix("ok ").unwrap_or_else(|| panic!("open: {answer}")).split(' ');
        self.name = words.next().unwrap_or_default().to_owned();
        self.address = words.next().unwrap_or_default().to_owned();
    }

    /// Starts a process without a node. `prepare` may say where and how it is to run.
    pub fn start(prepare: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(program());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        prepare(&mut command);
        let mut child = command.spawn().expect("the agent starts");
        let commands = child.stdin.take().expect("its standard input");
        let output = BufReader::new(child.stdout.take().expect("its standard output"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, commands, lines, events: Vec::new(), name: String::new(), address: String::new() }
    }

    fn line(&mut self, deadline: Instant, waiting_for: &str) -> String {
        match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => {
                panic!("{}: no {waiting_for} in time; events so far: {:?}", self.name, self.events)
            }
            Err(RecvTimeoutError::Disconnected) => panic!("{}: died, waiting for {waiting_for}", self.name),
        }
    }

    /// Gives a command without waiting for its answer.
    pub fn post(&mut self, command: &str) {
        writeln!(self.commands, "{command}").expect("the agent reads");
    }

    /// The answer to the oldest command that was not answered yet.
    pub fn answer(&mut self) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let line = self.line(deadline, "answer");
            match line.strip_prefix("= ") {
                Some(answer) => return answer.to_owned(),
                None => self.events.push(line),
            }
        }
    }

    pub fn call(&mut self, command: &str) -> String {
        self.post(command);
        self.answer()
    }

    /// A call that must be answered with "ok ..."; returns the rest.
    pub fn ok(&mut self, command: &str) -> String {
        let answer = self.call(command);
        match answer.strip_prefix("ok") {
            Some(rest) => rest.trim_start().to_owned(),
            None => panic!("{}: {command}: {answer}", self.name),
        }
    }

    /// A new process: its index and pid.
    pub fn spawn(&mut self) -> (String, String) {
        let answer = self.ok("spawn");
        let (index, pid) = answer.split_once(' ').expect("index and pid");
        (index.to_owned(), pid.to_owned())
    }

    /// Waits for an event that starts like this, and takes it; the others stay.
    pub fn event(&mut self, start: &str) -> String {
        self.event_within(start, PATIENCE)
    }

    /// Waits for a line of this kind for a while, if none has come; it stays.
    pub fn wait_for_event(&mut self, start: &str, patience: Duration) -> bool {
        let seen = self.seen(start);
        let deadline = Instant::now() + patience;
        while self.seen(start) == seen {
            match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(line) => self.events.push(line),
                Err(_) => return false,
            }
        }
        true
    }

    pub fn event_within(&mut self, start: &str, patience: Duration) -> String {
        let wanted = format!("! {start}");
        let deadline = Instant::now() + patience;
        loop {
            if let Some(at) = self.events.iter().position(|event| event.starts_with(&wanted)) {
                return self.events.remove(at);
            }
            let line = self.line(deadline, &wanted);
            assert!(line.starts_with("! "), "{}: an answer that nobody waits for: {line}", self.name);
            self.events.push(line);
        }
    }

    /// Events of this kind that have come so far.
    pub fn seen(&mut self, start: &str) -> usize {
        let wanted = format!("! {start}");
        while let Ok(line) = self.lines.try_recv() {
            self.events.push(line);
        }
        self.events.iter().filter(|event| event.starts_with(&wanted)).count()
    }

    /// Waits until the node has links to all of these: a node monitor tells.
    pub fn wait_for_peers(&mut self, peers: &[&str]) {
        let (watcher, _) = self.spawn();
        self.ok(&format!("monitor_nodes {watcher}"));
        for peer in peers {
            self.event(&format!("up {peer}"));
        }
    }

    /// Waits until readers of this node see the pid under the name ("none": nobody).
    pub fn wait_for_name(&mut self, name: &str, pid: &str) {
        let (watcher, _) = self.spawn();
        self.ok(&format!("monitor_name {watcher} {name}"));
        self.event(&format!("name {name} {pid}"));
        self.ok(&format!("free {watcher}"));
    }

    /// Every event of this kind that has come so far, in order; they stay.
    pub fn all(&mut self, start: &str) -> Vec<String> {
        self.seen(start);
        let wanted = format!("! {start}");
        self.events.iter().filter(|event| event.starts_with(&wanted)).cloned().collect()
    }

    /// Events that came before this are of no interest.
    pub fn forget_events(&mut self) {
        self.seen("");
        self.events.clear();
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory of the process, in bytes.
    pub fn memory(&self) -> u64 {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("its status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
        let kib = line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number");
        kib * 1024
    }

    /// After a SIGSTOP no thread of the program runs any more when this returns: the signal alone stops them a while later, and
    /// what is asked meanwhile may still be answered. It must not be stopped already.
    pub fn signal(&self, signal: libc::c_int) {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        // SAFETY: sends a signal to a child of this test that has not been waited for.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
        if signal == libc::SIGSTOP {
            let mut status = 0;
            // SAFETY: writes to `status` alone. A child that has stopped stays to be waited for.
            let changed = unsafe { libc::waitpid(pid, &raw mut status, libc::WUNTRACED) };
            assert!(changed == pid && libc::WIFSTOPPED(status), "it has ended: {status:x}");
        }
    }

    /// SIGKILL, and the death is reaped.
    pub fn kill(mut self) {
        self.signal(libc::SIGKILL);
        let _ = self.child.wait();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
