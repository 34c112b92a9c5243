//! The text form of pids, and where they live: the end of section 6.

use super::args::{Out, TextOut, bytes, optional_pid};
use super::entry::{Failure, call, call_on};
use super::types::{convoke_node, convoke_pid, convoke_status};
use crate::node::Node;
use std::ffi::c_char;

/// The text form of a pid: the incarnation in 16 hexadecimal digits, a dot, and the serial: "1f00c0de0badcafe.12".
/// At most 37 bytes with the zero.
///
/// @param pid the pid; none has a text form too.
/// @param buf as for convoke_node_name.
/// @param cap the size of `buf`.
/// @param len_out as for convoke_node_name.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_BUFFER the text does not fit. Try again with `*len_out` + 1 bytes.
/// @retval CONVOKE_E_INVALID `pid` is NULL, or `buf` is NULL and `cap` is not 0.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
/// @threads any
/// @see Erlang: erlang:pid_to_list/1
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_pid_format(
    pid: *const convoke_pid,
    buf: *mut c_char,
    cap: usize,
    len_out: *mut usize,
) -> convoke_status {
    // SAFETY: room for `cap` bytes and a valid pointer, or NULL, by the contract.
    let out = unsafe { TextOut::new(buf, cap, len_out) };
    call(|_| {
        out.check()?;
        if pid.is_null() {
            return Err(Failure::invalid("the pid is NULL"));
        }
        // SAFETY: a pid, by the contract.
        let convoke_pid { node, serial } = unsafe { pid.read_unaligned() };
        out.set(&format!("{node:016x}.{serial}"))
    })
}

/// The pid with this text form: the inverse of convoke_pid_format, and as strict: what it would not have written is refused.
///
/// @param text the text, needs no zero at the end.
/// @param len its length in bytes.
/// @param pid_out receives the pid; none on failure.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_INVALID the text is no pid, or a pointer is NULL.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke).
/// @threads any
/// @see Erlang: erlang:list_to_pid/1
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_pid_parse(
    text: *const c_char,
    len: usize,
    pid_out: *mut convoke_pid,
) -> convoke_status {
    // SAFETY: a valid pointer or NULL, by the contract.
    let out = unsafe { Out::new(pid_out, convoke_pid { node: 0, serial: 0 }) };
    call(|_| {
        let out = out.required("pid_out is NULL")?;
        // SAFETY: `len` bytes or NULL, by the contract.
        let text = unsafe { bytes(text.cast(), len, "text is NULL") }?;
        out.set(parse(text).ok_or(Failure::invalid("the text is no pid"))?);
        Ok(())
    })
}

fn parse(text: &[u8]) -> Option<convoke_pid> {
    let text = std::str::from_utf8(text).ok()?;
    let (node, serial) = text.split_once('.')?;
    let pid = convoke_pid { node: u64::from_str_radix(node, 16).ok()?, serial: serial.parse().ok()? };
    // Signs, capitals, missing and surplus zeroes: all that would not be written.
    (format!("{:016x}.{}", pid.node, pid.serial) == text).then_some(pid)
}

/// The name of the node that a process lives on, as far as this node knows it: itself, or one that it has a link to.
///
/// @param node the node that is asked.
/// @param pid the process.
/// @param buf as for convoke_node_name.
/// @param cap the size of `buf`.
/// @param len_out as for convoke_node_name.
/// @return the status:
/// @retval CONVOKE_OK
/// @retval CONVOKE_E_NOT_FOUND the node has no link to the home of the process.
/// @retval CONVOKE_E_BUFFER the name does not fit. Try again with `*len_out` + 1 bytes.
/// @retval CONVOKE_E_INVALID `node` is not a live node, `pid` is NULL or none, or `buf` is NULL and `cap` is not 0.
/// @retval CONVOKE_E_CLOSED the node is closed.
/// @retval CONVOKE_E_FORKED the node was made by the parent of this forked process.
/// @retval CONVOKE_E_INTERNAL internal error (a bug in Convoke); the node has been closed.
/// @threads any; never waits for the network
/// @see Erlang: erlang:node/1
/// @since 0.1.0
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn convoke_pid_node(
    node: *const convoke_node,
    pid: *const convoke_pid,
    buf: *mut c_char,
    cap: usize,
    len_out: *mut usize,
) -> convoke_status {
    // SAFETY: room for `cap` bytes and a valid pointer, or NULL, by the contract.
    let out = unsafe { TextOut::new(buf, cap, len_out) };
    call_on::<Node>(node as usize, |node| {
        out.check()?;
        // SAFETY: a pid or NULL, by the contract.
        let pid = unsafe { optional_pid(pid) }?.ok_or(Failure::invalid("the pid is NULL"))?;
        out.set(&node.node_of(pid)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_pid_and_back() {
        for (node, serial) in [(0, 0), (1, 1), (u64::MAX, u64::MAX), (0x1f00_c0de_0bad_cafe, 12)] {
            let text = format!("{node:016x}.{serial}");
            assert!(text.len() < 38);
            assert_eq!(parse(text.as_bytes()), Some(convoke_pid { node, serial }));
        }
    }

    #[test]
    fn what_would_not_be_written_is_not_read() {
        let bad = [
            "",
            ".",
            "1.1",
            "0000000000000001",
            "0000000000000001.",
            "0000000000000001.01",
            "0000000000000001.+1",
            "+000000000000001.1",
            "000000000000000A.1",
            "00000000000000001.1",
            "0000000000000001.1 ",
            " 0000000000000001.1",
            "0000000000000001.18446744073709551616",
            "0000000000000001.1.1",
            "000000000000000g.1",
        ];
        for text in bad {
            assert_eq!(parse(text.as_bytes()), None, "{text:?}");
        }
        assert_eq!(parse(b"0000000000000001.1\0"), None);
        assert_eq!(parse(b"\xff000000000000001.1"), None);
    }
}
