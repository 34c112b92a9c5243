//! The C interface as a C program sees it: the bench loads the shared library at run time and calls what it exports.
//!
//! Nothing of the Rust crate is linked in, so that no call is inlined and thread-local storage costs what it costs a
//! C program. `unsafe` is here for that reason only: this is the caller's side of the C interface.

mod group;
mod lock;

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::PathBuf;
use std::ptr::{null, null_mut};
use std::sync::OnceLock;

pub const OK: i32 = 0;
pub const E_TIMEOUT: i32 = -6;
pub const E_FULL: i32 = -9;
pub const E_NOT_FOUND: i32 = -10;

pub const EVENT_MESSAGE: u32 = 1;
pub const EVENT_DONE: u32 = 3;
pub const EVENT_SENDABLE: u32 = 14;

const REASON_NORMAL: u32 = 0;

/// `convoke_pid`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pid {
    pub node: u64,
    pub serial: u64,
}

/// `convoke_stats`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Stats {
    struct_size: usize,
    pub messages_sent: u64,
    pub messages_received: u64,
    pub names: u64,
    pub locks_held: u64,
    pub groups: u64,
    pub peers: u64,
    pub queue_depth: u64,
    pub dropped: u64,
}

type Ptr = *mut c_void;

macro_rules! api {
    ($($name:ident($($arg:ty),*) $(-> $ret:ty)?;)*) => {
        /// The functions that the bench uses, by their names without `convoke_`.
        struct Api { $($name: unsafe extern "C" fn($($arg),*) $(-> $ret)?,)* }

        impl Api {
            /// # Safety
            /// `library` is a handle of `dlopen` of a Convoke library.
            unsafe fn load(library: Ptr) -> Result<Api, String> {
                // SAFETY: the signatures are those of the header.
                unsafe { Ok(Api { $($name: std::mem::transmute::<Ptr, unsafe extern "C" fn($($arg),*) $(-> $ret)?>(
                    symbol(library, concat!("convoke_", stringify!($name)))?),)* }) }
            }
        }
    };
}

api! {
    version_string() -> *const c_char;
    status_name(i32) -> *const c_char;
    last_error(*mut c_char, usize) -> usize;
    options_new(*mut Ptr) -> i32;
    options_set(Ptr, *const c_char, *const c_char) -> i32;
    options_free(Ptr);
    node_open(Ptr, *mut Ptr) -> i32;
    node_address(Ptr, *mut c_char, usize, *mut usize) -> i32;
    node_stats(Ptr, *mut Stats) -> i32;
    queue_new(Ptr, *mut Ptr) -> i32;
    queue_next(Ptr, i64, *mut Ptr) -> i32;
    event_get_kind(Ptr) -> u32;
    event_ref(Ptr) -> u64;
    event_peer(Ptr, *mut Pid) -> i32;
    event_result(Ptr, *mut *const c_char) -> i32;
    event_payload(Ptr, *mut *const c_void, *mut usize) -> i32;
    event_free(Ptr);
    process_spawn(Ptr, Ptr, *mut Ptr) -> i32;
    process_exit(Ptr, u32, *const c_void, usize) -> i32;
    process_free(Ptr);
    process_pid(Ptr, *mut Pid) -> i32;
    process_recv(Ptr, i64, *mut Ptr) -> i32;
    name_register(Ptr, *const u8, usize, *const Pid, *const c_char, i64, *mut u64) -> i32;
    name_unregister(Ptr, *const u8, usize, i64, *mut u64) -> i32;
    name_whereis(Ptr, *const u8, usize, *mut Pid) -> i32;
    name_list(Ptr, *const u8, usize, *mut Ptr) -> i32;
    node_connect(Ptr, *const c_char, i64, *mut u64) -> i32;
    lock_acquire(Ptr, *const u8, usize, *const u8, usize, i64, *mut u64, *mut u64) -> i32;
    lock_release(Ptr, *const u8, usize, *const u8, usize, i64, *mut u64) -> i32;
    group_create(Ptr, *const u8, usize, i64, *mut u64) -> i32;
    group_delete(Ptr, *const u8, usize, i64, *mut u64) -> i32;
    group_join(Ptr, *const u8, usize, *const Pid, i64, *mut u64) -> i32;
    group_leave(Ptr, *const u8, usize, *const Pid, i64, *mut u64) -> i32;
    group_members(Ptr, *const u8, usize, *mut Ptr) -> i32;
    send(Ptr, *const Pid, *const u8, usize) -> i32;
    list_len(Ptr) -> usize;
    list_name(Ptr, usize, *mut *const u8, *mut usize) -> i32;
    list_pid(Ptr, usize, *mut Pid) -> i32;
    list_pids(Ptr, *mut *const Pid, *mut usize) -> i32;
    list_free(Ptr);
}

/// # Safety
/// `library` is a handle of `dlopen`.
unsafe fn symbol(library: Ptr, name: &str) -> Result<Ptr, String> {
    let c_name = CString::new(name).map_err(|e| e.to_string())?;
    // SAFETY: a live handle and a zero-terminated text.
    let found = unsafe { libc::dlsym(library, c_name.as_ptr()) };
    if found.is_null() { Err(format!("the library has no {name}")) } else { Ok(found) }
}

/// Where the shared library is: what `CONVOKE_LIBRARY` names, or the one that was built together with this program.
pub fn library_path() -> Result<PathBuf, String> {
    if let Some(path) = std::env::var_os("CONVOKE_LIBRARY") {
        return Ok(path.into());
    }
    let here = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut folders = here.ancestors().skip(1).take(2);
    folders
        .find_map(|folder| Some(folder.join("libconvoke.so")).filter(|path| path.exists()))
        .ok_or_else(|| format!("no libconvoke.so beside {}", here.display()))
}

fn api() -> &'static Api {
    static API: OnceLock<Api> = OnceLock::new();
    API.get_or_init(|| {
        let load = || {
            let path = library_path()?;
            let c_path = CString::new(path.as_os_str().as_encoded_bytes()).map_err(|e| e.to_string())?;
            // SAFETY: a zero-terminated path; the library's own initialisers are harmless.
            let library =
                unsafe { libc::dlopen(c_path.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL as c_int) };
            if library.is_null() {
                return Err(format!("cannot load {}", path.display()));
            }
            // SAFETY: it was opened just now.
            unsafe { Api::load(library) }
        };
        load().unwrap_or_else(|why: String| panic!("{why}"))
    })
}

pub fn version() -> String {
    // SAFETY: a static text.
    unsafe { CStr::from_ptr((api().version_string)()) }.to_string_lossy().into_owned()
}

/// A status that is not OK, with its name and text.
fn check(what: &str, status: i32) -> Result<(), String> {
    if status == OK {
        return Ok(());
    }
    let mut text = [0u8; 512];
    // SAFETY: a buffer and its size; a static text.
    let name = unsafe {
        (api().last_error)(text.as_mut_ptr().cast(), text.len());
        CStr::from_ptr((api().status_name)(status))
    };
    let detail = CStr::from_bytes_until_nul(&text).unwrap_or_default();
    Err(format!("{what}: {} {}", name.to_string_lossy(), detail.to_string_lossy()))
}

/// A `convoke_node`. Handles are checked by the library and usable from any thread, so they are copied freely here and
/// never freed: the OS process ends with the measurement.
#[derive(Clone, Copy)]
pub struct Node(Ptr);
#[derive(Clone, Copy)]
pub struct Queue(Ptr);
#[derive(Clone, Copy)]
pub struct Process(Ptr);

// SAFETY: "every function may be called from any thread at any time on any handle".
unsafe impl Send for Node {}
unsafe impl Sync for Node {}
unsafe impl Send for Queue {}
unsafe impl Send for Process {}

/// Where a call puts the operation that it begins; without a place it waits.
type Op<'a> = Option<&'a mut u64>;

fn place(op: Op<'_>) -> *mut u64 {
    op.map_or(null_mut(), |op| op)
}

/// An owned `convoke_event`.
pub struct Event(Ptr);

impl Node {
    pub fn open(options: &[(&str, &str)]) -> Result<Self, String> {
        let (mut held, mut node) = (null_mut(), null_mut());
        // SAFETY: valid pointers and zero-terminated texts.
        unsafe {
            check("options_new", (api().options_new)(&mut held))?;
            for (key, value) in options {
                let c = |text: &str| CString::new(text).map_err(|e| e.to_string());
                let status = (api().options_set)(held, c(key)?.as_ptr(), c(value)?.as_ptr());
                check(&format!("option {key} = {value}"), status)?;
            }
            let opened = check("node_open", (api().node_open)(held, &mut node));
            (api().options_free)(held);
            opened?;
        }
        Ok(Self(node))
    }

    pub fn address(self) -> Result<String, String> {
        let mut text = vec![0u8; 512];
        let mut len = 0;
        // SAFETY: a buffer and its size.
        let status = unsafe { (api().node_address)(self.0, text.as_mut_ptr().cast(), text.len(), &mut len) };
        check("node_address", status)?;
        text.truncate(len);
        String::from_utf8(text).map_err(|e| e.to_string())
    }

    pub fn stats(self) -> Result<Stats, String> {
        let mut stats = Stats { struct_size: size_of::<Stats>(), ..Stats::default() };
        // SAFETY: the size is set.
        check("node_stats", unsafe { (api().node_stats)(self.0, &mut stats) })?;
        Ok(stats)
    }

    pub fn queue(self) -> Result<Queue, String> {
        let mut queue = null_mut();
        // SAFETY: a checked handle and a valid pointer.
        check("queue_new", unsafe { (api().queue_new)(self.0, &mut queue) })?;
        Ok(Queue(queue))
    }

    pub fn spawn(self, queue: Option<Queue>) -> Result<Process, String> {
        let mut process = null_mut();
        let queue = queue.map_or(null_mut(), |q| q.0);
        // SAFETY: checked handles and a valid pointer.
        check("process_spawn", unsafe { (api().process_spawn)(self.0, queue, &mut process) })?;
        Ok(Process(process))
    }

    /// The plain call: a status. What the look-up row measures.
    #[inline]
    pub fn whereis(self, name: &[u8], pid: &mut Pid) -> i32 {
        // SAFETY: a checked handle, a name and a valid pointer.
        unsafe { (api().name_whereis)(self.0, name.as_ptr(), name.len(), pid) }
    }

    /// A number that two nodes share if and (but for chance) only if their tables are equal; and how many names.
    pub fn table_digest(self) -> Result<(u64, usize), String> {
        let mut list = null_mut();
        // SAFETY: a checked handle and a valid pointer; the list is freed once below.
        unsafe {
            check("name_list", (api().name_list)(self.0, null(), 0, &mut list))?;
            let len = (api().list_len)(list);
            let mut sum = 0u64;
            for index in 0..len {
                let (mut data, mut size, mut pid) = (null(), 0, Pid::default());
                check("list_name", (api().list_name)(list, index, &mut data, &mut size))?;
                check("list_pid", (api().list_pid)(list, index, &mut pid))?;
                let name = std::slice::from_raw_parts(data, size);
                // FNV-1a, summed up so that the order does not matter.
                let bytes =
                    name.iter().copied().chain(pid.node.to_le_bytes()).chain(pid.serial.to_le_bytes());
                sum = sum.wrapping_add(
                    bytes.fold(0xcbf29ce484222325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x100000001b3)),
                );
            }
            (api().list_free)(list);
            Ok((sum, len))
        }
    }
}

impl Queue {
    /// `None`: nothing came in time.
    pub fn next(self, timeout_ms: i64) -> Result<Option<Event>, String> {
        let mut event = null_mut();
        // SAFETY: a checked handle and a valid pointer.
        match unsafe { (api().queue_next)(self.0, timeout_ms, &mut event) } {
            E_TIMEOUT => Ok(None),
            status => check("queue_next", status).map(|()| Some(Event(event))),
        }
    }
}

impl Process {
    pub fn pid(self) -> Result<Pid, String> {
        let mut pid = Pid::default();
        // SAFETY: a checked handle and a valid pointer.
        check("process_pid", unsafe { (api().process_pid)(self.0, &mut pid) })?;
        Ok(pid)
    }

    /// `None`: nothing came in time.
    pub fn recv(self, timeout_ms: i64) -> Result<Option<Event>, String> {
        let mut event = null_mut();
        // SAFETY: a checked handle and a valid pointer.
        match unsafe { (api().process_recv)(self.0, timeout_ms, &mut event) } {
            E_TIMEOUT => Ok(None),
            status => check("process_recv", status).map(|()| Some(Event(event))),
        }
    }

    pub fn register(self, name: &[u8], timeout_ms: i64) -> Result<(), String> {
        // SAFETY: a checked handle and a name; NULL where the header allows it.
        check("name_register", unsafe {
            (api().name_register)(self.0, name.as_ptr(), name.len(), null(), null(), timeout_ms, null_mut())
        })
    }

    /// With another resolver than the default.
    pub fn register_with(self, name: &[u8], resolver: &CStr, timeout_ms: i64) -> Result<(), String> {
        let (data, len, resolver) = (name.as_ptr(), name.len(), resolver.as_ptr());
        // SAFETY: a checked handle, a name and a zero-terminated text; NULL where the header allows it.
        check("name_register", unsafe {
            (api().name_register)(self.0, data, len, null(), resolver, timeout_ms, null_mut())
        })
    }

    /// Returns when there is a link.
    pub fn connect(self, address: &str, timeout_ms: i64) -> Result<(), String> {
        let address = CString::new(address).map_err(|e| e.to_string())?;
        // SAFETY: a checked handle and a zero-terminated text.
        check("node_connect", unsafe {
            (api().node_connect)(self.0, address.as_ptr(), timeout_ms, null_mut())
        })
    }

    /// Begins the operation that a DONE event ends.
    pub fn register_begin(self, name: &[u8], timeout_ms: i64) -> Result<u64, String> {
        let mut op = 0;
        // SAFETY: as above, and a valid pointer.
        check("name_register", unsafe {
            (api().name_register)(self.0, name.as_ptr(), name.len(), null(), null(), timeout_ms, &mut op)
        })?;
        Ok(op)
    }

    pub fn unregister(self, name: &[u8], timeout_ms: i64) -> Result<(), String> {
        // SAFETY: a checked handle and a name.
        check("name_unregister", unsafe {
            (api().name_unregister)(self.0, name.as_ptr(), name.len(), timeout_ms, null_mut())
        })
    }

    pub fn unregister_begin(self, name: &[u8], timeout_ms: i64) -> Result<u64, String> {
        let mut op = 0;
        // SAFETY: a checked handle, a name and a valid pointer.
        check("name_unregister", unsafe {
            (api().name_unregister)(self.0, name.as_ptr(), name.len(), timeout_ms, &mut op)
        })?;
        Ok(op)
    }

    /// The plain call: a status.
    #[inline]
    pub fn send_status(self, to: &Pid, payload: &[u8]) -> i32 {
        // SAFETY: a checked handle, a pid and a payload.
        unsafe { (api().send)(self.0, to, payload.as_ptr(), payload.len()) }
    }

    pub fn send(self, to: &Pid, payload: &[u8]) -> Result<(), String> {
        check("send", self.send_status(to, payload))
    }

    pub fn exit(self) -> Result<(), String> {
        // SAFETY: a checked handle; no data.
        check("process_exit", unsafe { (api().process_exit)(self.0, REASON_NORMAL, null(), 0) })
    }

    pub fn free(self) {
        // SAFETY: a checked handle.
        unsafe { (api().process_free)(self.0) }
    }
}

impl Event {
    pub fn kind(&self) -> u32 {
        // SAFETY: a live event.
        unsafe { (api().event_get_kind)(self.0) }
    }

    pub fn reference(&self) -> u64 {
        // SAFETY: a live event.
        unsafe { (api().event_ref)(self.0) }
    }

    pub fn peer(&self) -> Result<Pid, String> {
        let mut pid = Pid::default();
        // SAFETY: a live event and a valid pointer.
        check("event_peer", unsafe { (api().event_peer)(self.0, &mut pid) })?;
        Ok(pid)
    }

    /// The result of a DONE event.
    pub fn result(&self) -> Result<(), String> {
        // SAFETY: a live event; the text is not wanted.
        check("a DONE event", unsafe { (api().event_result)(self.0, null_mut()) })
    }

    pub fn payload(&self) -> Result<&[u8], String> {
        let (mut data, mut len) = (null(), 0);
        // SAFETY: a live event and valid pointers; what is lent lives as long as the event.
        unsafe {
            check("event_payload", (api().event_payload)(self.0, &mut data, &mut len))?;
            Ok(if len == 0 { &[] } else { std::slice::from_raw_parts(data.cast(), len) })
        }
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: owned, and freed once.
        unsafe { (api().event_free)(self.0) }
    }
}
