//! A network namespace with one device, whose packets come out of a file descriptor here.
//!
//! It has no name and lives as long as somebody holds it open: when the test ends, in whatever way, nothing is left.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// What the device is called in every namespace.
pub const DEVICE: &str = "cable0";

pub struct Namespace {
    handle: File,
}

impl Namespace {
    /// A new namespace whose device has this address, and the other end of the device: it gives what is sent, packet by
    /// packet, and takes what is to arrive.
    pub fn new(address: &str) -> io::Result<(Self, OwnedFd)> {
        let address = address.to_owned();
        // Only the thread that asks goes into the new namespace.
        let made = std::thread::spawn(move || {
            // SAFETY: takes this thread, and nothing else, into a new namespace.
            check(unsafe { libc::unshare(libc::CLONE_NEWNET) })?;
            let handle = File::open("/proc/thread-self/ns/net")?;
            let device = open_device()?;
            run("ip", &["addr", "add", &address, "dev", DEVICE])?;
            run("ip", &["link", "set", DEVICE, "up"])?;
            run("ip", &["link", "set", "lo", "up"])?;
            Ok((Self { handle }, device))
        });
        made.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
    }

    /// The command will run in this namespace, and end with the thread that starts it at the latest.
    pub fn prepare(&self, command: &mut Command) {
        let handle = self.handle.as_raw_fd();
        // SAFETY: between fork and exec nothing but two system calls is made; the descriptor is open then.
        unsafe {
            command.pre_exec(move || {
                check(libc::setns(handle, libc::CLONE_NEWNET))?;
                check(libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL))
            });
        }
    }

    /// Runs a command of iproute2 in this namespace.
    pub fn run(&self, program: &str, args: &[&str]) -> io::Result<()> {
        let mut command = Command::new(program);
        self.prepare(&mut command);
        finish(command.args(args))
    }
}

fn open_device() -> io::Result<OwnedFd> {
    // SAFETY: an open and an ioctl on a zeroed structure that outlives it; the descriptor is nobody else's.
    unsafe {
        let flags = libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC;
        let fd = libc::open(c"/dev/net/tun".as_ptr(), flags);
        check(fd)?;
        let fd = OwnedFd::from_raw_fd(fd);
        let mut request = std::mem::zeroed::<libc::ifreq>();
        for (to, from) in request.ifr_name.iter_mut().zip(DEVICE.bytes()) {
            *to = from as libc::c_char;
        }
        request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short;
        check(libc::ioctl(fd.as_raw_fd(), libc::TUNSETIFF, &raw mut request))?;
        Ok(fd)
    }
}

fn run(program: &str, args: &[&str]) -> io::Result<()> {
    finish(Command::new(program).args(args))
}

fn finish(command: &mut Command) -> io::Result<()> {
    let out = command.output()?;
    if out.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!("{command:?}: {}", String::from_utf8_lossy(&out.stderr).trim())))
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
