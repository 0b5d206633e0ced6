//! External programs, run against the example server and client.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use crate::world::Party;

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(60);

/// A program that is ended with the test.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A directory for a test's files, which is gone with it.
pub struct Files(PathBuf);

impl Files {
    /// A new one.
    pub fn new() -> Self {
        static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("postern-peers-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        Self(directory)
    }

    /// The path of a file that does not have to be there.
    pub fn path(&self, name: &str) -> String {
        argument(&self.0.join(name)).to_owned()
    }

    /// Writes a file and gives its path.
    pub fn write(&self, name: &str, content: &str) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Writes certificate and key of `party`.
    pub fn write_party(&self, name: &str, party: &Party) -> [String; 2] {
        let [certificate, key] = &party.pem;
        [
            self.write(&format!("{name}.pem"), certificate),
            self.write(&format!("{name}.key"), key),
        ]
    }
}

impl Default for Files {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The example server, running.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// The CA's certificate in PEM.
    pub ca: PathBuf,
    lines: Receiver<String>,
    _files: Files,
    _process: Process,
}

impl Server {
    /// Starts the program at `path` (that of Cargo's `CARGO_BIN_EXE_s_server`) on a free port, for TLS 1.3 alone, with
    /// [`crate::pki`]'s certificate.
    pub fn start(path: &str) -> Self {
        let files = Files::new();
        let [ca, certificate, key] = &crate::pki().pem;
        let (ca, certificate, key) = (
            files.write("ca.pem", ca),
            files.write("server.pem", certificate),
            files.write("server.key", key),
        );
        Self::start_with(path, &["-cert", &certificate, "-key", &key, "-tls1_3"], &ca, files)
    }

    /// Starts it with these arguments, whose files are in `files`.
    pub fn start_with(path: &str, arguments: &[&str], ca: &str, files: Files) -> Self {
        let mut child = Command::new(path)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = lines(child.stdout.take().unwrap());
        let first = lines.recv_timeout(LIMIT).expect("the server said nothing");
        let address = first.strip_prefix("listening on ").unwrap().parse().unwrap();
        Self {
            address,
            ca: PathBuf::from(ca),
            lines,
            _files: files,
            _process: Process(child),
        }
    }

    /// Waits for a line of the server's that begins like this, and gives all up to it.
    #[track_caller]
    pub fn says(&self, beginning: &str) -> Vec<String> {
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(LIMIT) {
                Ok(line) => {
                    let found = line.starts_with(beginning);
                    seen.push(line);
                    if found {
                        return seen;
                    }
                }
                Err(_) => panic!("the server did not say {beginning:?} but {seen:?}"),
            }
        }
    }
}

/// Somebody else's server, running.
pub struct Program {
    lines: Receiver<String>,
    name: String,
    _process: Process,
}

impl Program {
    /// Starts `name` with these arguments. It has to be installed: a test without its peer would be no test.
    pub fn start<A: AsRef<std::ffi::OsStr>>(name: &str, arguments: &[A]) -> Self {
        let mut child = Command::new(name)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {name}: {error}; apt-get install openssl gnutls-bin"));
        let (sender, lines) = channel();
        read_lines(child.stdout.take().unwrap(), sender.clone());
        read_lines(child.stderr.take().unwrap(), sender);
        Self {
            lines,
            name: name.to_owned(),
            _process: Process(child),
        }
    }

    /// Waits for a line that begins like this.
    #[track_caller]
    pub fn says(&self, beginning: &str) -> String {
        let mut seen = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(LIMIT) {
            if line.starts_with(beginning) {
                return line;
            }
            seen.push(line);
        }
        panic!("{} did not say {beginning:?} but {seen:?}", self.name)
    }
}

/// A client program, running.
pub struct Tool {
    input: Option<ChildStdin>,
    output: Receiver<Vec<u8>>,
    errors: Receiver<Vec<u8>>,
    seen: Vec<u8>,
    seen_errors: Vec<u8>,
    process: Process,
}

impl Tool {
    /// Starts `name` with these arguments. It has to be installed: a test without its peer would be no test.
    pub fn start<A: AsRef<std::ffi::OsStr>>(name: &str, arguments: &[A]) -> Self {
        let mut child = Command::new(name)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("cannot run {name}: {error}; apt-get install openssl gnutls-bin"));
        Self {
            input: child.stdin.take(),
            output: bytes(child.stdout.take().unwrap()),
            errors: bytes(child.stderr.take().unwrap()),
            seen: Vec::new(),
            seen_errors: Vec::new(),
            process: Process(child),
        }
    }

    /// Writes to its standard input from a thread of its own, so that it can write back meanwhile.
    pub fn write(&mut self, text: &[u8]) {
        let text = text.to_vec();
        let mut input = self.input.take().unwrap();
        let (give_back, back) = channel();
        let writer = std::thread::spawn(move || {
            // A program that has ended shows by its output.
            let _ = input.write_all(&text).and_then(|()| input.flush());
            let _ = give_back.send(input);
        });
        let start = Instant::now();
        self.input = loop {
            match back.recv_timeout(Duration::from_millis(10)) {
                Ok(input) => break Some(input),
                Err(_) => {
                    assert!(start.elapsed() < LIMIT, "the program does not read");
                    self.seen.extend(self.output.try_iter().flatten());
                }
            }
        };
        writer.join().unwrap();
    }

    /// Waits until its standard output satisfies `enough`, and gives all of it.
    #[track_caller]
    pub fn until(&mut self, enough: impl Fn(&[u8]) -> bool) -> &[u8] {
        let done = wait(&self.output, &mut self.seen, enough);
        assert!(done, "too slow, or ended: {}", self.so_far());
        &self.seen
    }

    /// Waits until its standard output contains `text`.
    #[track_caller]
    pub fn shows(&mut self, text: &str) {
        self.until(|seen| count(seen, text) > 0);
    }

    /// Waits until its standard error contains `text` so many `times`.
    #[track_caller]
    pub fn reports(&mut self, text: &str, times: usize) {
        let done = wait(&self.errors, &mut self.seen_errors, |seen| count(seen, text) >= times);
        assert!(done, "too slow, or ended: {}", self.so_far());
    }

    /// Ends its input and waits for its end. Returns whether it was content, and all that it said.
    pub fn end(mut self) -> (bool, String) {
        drop(self.input.take());
        let start = Instant::now();
        let status = loop {
            if let Some(status) = self.process.0.try_wait().unwrap() {
                break status;
            }
            assert!(start.elapsed() < LIMIT, "the program does not end");
            std::thread::sleep(Duration::from_millis(2));
        };
        // Both outputs end with the program.
        self.seen.extend(self.output.iter().flatten());
        self.seen_errors.extend(self.errors.iter().flatten());
        (status.success(), self.so_far())
    }

    fn so_far(&mut self) -> String {
        self.seen.extend(self.output.try_iter().flatten());
        self.seen_errors.extend(self.errors.try_iter().flatten());
        let texts = [&self.seen, &self.seen_errors].map(|text| String::from_utf8_lossy(text).into_owned());
        texts.join("\n-- standard error --\n")
    }
}

/// A path as an argument.
pub fn argument(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Receives until there is `enough`; false if that takes too long or there is nothing more.
fn wait(output: &Receiver<Vec<u8>>, seen: &mut Vec<u8>, enough: impl Fn(&[u8]) -> bool) -> bool {
    let start = Instant::now();
    while !enough(seen) {
        match output.recv_timeout(LIMIT.saturating_sub(start.elapsed())) {
            Ok(more) => seen.extend(more),
            Err(_) => return false,
        }
    }
    true
}

/// How often `text` occurs in `bytes`.
fn count(bytes: &[u8], text: &str) -> usize {
    bytes
        .windows(text.len())
        .filter(|window| *window == text.as_bytes())
        .count()
}

fn lines(output: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    read_lines(output, sender);
    receiver
}

/// Reads to the end, whether anybody listens or not: a program that cannot write stops.
fn read_lines(output: impl Read + Send + 'static, sender: Sender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
}

fn bytes(mut output: impl Read + Send + 'static) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count @ 1..) = output.read(&mut buffer) {
            if sender.send(buffer[..count].to_vec()).is_err() {
                break;
            }
        }
    });
    receiver
}
