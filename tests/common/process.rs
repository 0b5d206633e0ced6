//! A program that runs beside the test, with recorded output to wait for.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use super::{LIMIT, poll};

/// A script of the directory `qemu`.
pub fn script(name: &str) -> Command {
    Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("qemu").join(name))
}

/// Runs a program to its end: exit status, standard output, standard error.
pub fn end(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

/// A running program, killed on drop; if the test fails, its output is shown.
pub struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    /// Standard output.
    pub out: Said,
    /// Standard error.
    pub err: Said,
}

impl Process {
    /// Starts a program.
    pub fn start(command: &mut Command) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{name} does not start: {error} (qemu/test installs what the tests need)"));
        let out = Said::by(child.stdout.take().unwrap());
        let err = Said::by(child.stderr.take().unwrap());
        let stdin = child.stdin.take();
        Self {
            name,
            child,
            stdin,
            out,
            err,
        }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes to its standard input.
    pub fn write(&mut self, bytes: &[u8]) {
        let stdin = self.stdin.as_mut().expect("standard input was closed");
        stdin.write_all(bytes).and_then(|()| stdin.flush()).unwrap();
    }

    /// Takes its standard input, for another writer.
    pub fn take_stdin(&mut self) -> ChildStdin {
        self.stdin.take().expect("standard input was closed")
    }

    /// Whether it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let what = format!("the end of {}", self.name);
        let status = poll(&what, || self.ended());
        self.out.finish();
        self.err.finish();
        status
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- {}: standard output\n{}", self.name, self.out.text());
            eprintln!("---- {}: standard error\n{}----", self.name, self.err.text());
        }
    }
}

/// The output of a stream so far.
#[derive(Clone)]
pub struct Said(Arc<(Mutex<State>, Condvar)>);

#[derive(Default)]
struct State {
    bytes: Vec<u8>,
    ended: bool,
}

impl Said {
    /// Reads `stream` to its end, in a thread.
    pub fn by(mut stream: impl Read + Send + 'static) -> Self {
        let said = Self(Arc::default());
        let shared = Arc::clone(&said.0);
        std::thread::spawn(move || {
            let mut chunk = [0; 64 * 1024];
            loop {
                let count = stream.read(&mut chunk).unwrap_or(0);
                let mut state = shared.0.lock().unwrap();
                state.bytes.extend_from_slice(&chunk[..count]);
                state.ended |= count == 0;
                shared.1.notify_all();
                if count == 0 {
                    return;
                }
            }
        });
        said
    }

    /// The current length, to mark later output.
    pub fn mark(&self) -> usize {
        self.0.0.lock().unwrap().bytes.len()
    }

    /// The whole output.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.0.lock().unwrap().bytes.clone()
    }

    /// The whole output, as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }

    /// The output from `mark` on, as text.
    pub fn text_from(&self, mark: usize) -> String {
        String::from_utf8_lossy(&self.bytes()[mark..]).into_owned()
    }

    /// Waits for `text` anywhere.
    pub fn wait_for(&self, text: &str) {
        self.wait_from(0, text);
    }

    /// Waits for `text` from `mark` on. Returns the mark after it.
    pub fn wait_from(&self, mark: usize, text: &str) -> usize {
        self.wait_until(&format!("{text:?}"), |bytes| {
            let at = find(bytes.get(mark..)?, text.as_bytes())?;
            Some(mark + at + text.len())
        })
    }

    /// Waits until `found` finds something in the output.
    pub fn wait_until<T>(&self, what: &str, mut found: impl FnMut(&[u8]) -> Option<T>) -> T {
        let start = Instant::now();
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        loop {
            if let Some(answer) = found(&state.bytes) {
                return answer;
            }
            let ended = state.ended;
            let left = LIMIT.saturating_sub(start.elapsed());
            if ended || left.is_zero() {
                let said = String::from_utf8_lossy(&state.bytes).into_owned();
                drop(state);
                let why = if ended { "it ended" } else { "the limit passed" };
                panic!("waited for {what}, but {why}. There was:\n{}", tail(&said));
            }
            state = changed.wait_timeout(state, left).unwrap().0;
        }
    }

    /// Waits for the end of the stream.
    pub fn finish(&self) {
        let (state, changed) = &*self.0;
        let state = state.lock().unwrap();
        let (state, limit) = changed.wait_timeout_while(state, LIMIT, |state| !state.ended).unwrap();
        drop(state);
        assert!(!limit.timed_out(), "the stream does not end");
    }
}

/// The position of `part` in `whole`.
pub fn find(whole: &[u8], part: &[u8]) -> Option<usize> {
    whole.windows(part.len()).position(|window| window == part)
}

/// The end of a long text.
fn tail(text: &str) -> &str {
    let start = text.char_indices().rev().nth(8 * 1024).map_or(0, |(at, _)| at);
    &text[start..]
}
