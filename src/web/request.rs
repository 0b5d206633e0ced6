//! The head of an HTTP/1.x request, read as it comes (RFC 9112).

/// The longest request line, in bytes (RFC 9112 §3 wants 8,000 at least of a server of anything; this one has one
/// page).
const LINE: usize = 1024;
/// The most bytes of all header fields together. Cookies of other servers on the same host come along.
const FIELDS: usize = 32 * 1024;

/// The answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Status(pub(super) u16);

impl Status {
    pub(super) const OK: Self = Self(200);
    pub(super) const BAD_REQUEST: Self = Self(400);
    pub(super) const NOT_FOUND: Self = Self(404);
    pub(super) const METHOD_NOT_ALLOWED: Self = Self(405);
    pub(super) const URI_TOO_LONG: Self = Self(414);
    pub(super) const FIELDS_TOO_LARGE: Self = Self(431);
    pub(super) const NOT_IMPLEMENTED: Self = Self(501);
    pub(super) const UNAVAILABLE: Self = Self(503);
    pub(super) const VERSION_NOT_SUPPORTED: Self = Self(505);

    /// Its name (RFC 9110 §15).
    pub(super) const fn reason(self) -> &'static str {
        match self.0 {
            200 => "OK",
            400 => "Bad Request",
            404 => "Not Found",
            405 => "Method Not Allowed",
            414 => "URI Too Long",
            431 => "Request Header Fields Too Large",
            501 => "Not Implemented",
            503 => "Service Unavailable",
            _ => "HTTP Version Not Supported",
        }
    }

    /// The explanation on the page.
    pub(super) const fn words(self) -> &'static str {
        match self.0 {
            200 => "",
            400 => "The request is not valid HTTP/1.1.",
            404 => "The only page is at /.",
            405 => "Only GET and HEAD are supported.",
            414 => "The request target is too long.",
            431 => "The header fields are too large.",
            501 => "The method is not supported.",
            503 => "Newer connections have replaced the trace of this one. Try again.",
            _ => "Only HTTP/1.1 and HTTP/1.0 are supported.",
        }
    }
}

/// The requested resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) status: Status,
    /// HEAD: the answer comes without its content.
    pub(super) head: bool,
    /// HTTP/1.1, not 1.0: the answer may come in chunks.
    pub(super) chunked: bool,
}

impl Request {
    /// One that could not be read.
    const fn refused(status: Status) -> Self {
        Self {
            status,
            head: false,
            chunked: true,
        }
    }
}

/// A line, and the end of line and of head that httparse needs behind it.
type HeadLine = heapless::Vec<u8, { LINE + END.len() }>;
const END: &[u8] = b"\r\n\r\n";

/// The line as a whole head, or as a whole section of fields.
fn as_head(line: &mut HeadLine) -> &[u8] {
    // There is room.
    let _ = line.extend_from_slice(END);
    line
}

/// Reads a head byte by byte, in bounded memory.
pub(super) struct Parser {
    /// The line that is being read, its front if it is a long field.
    line: HeadLine,
    /// Bytes of fields so far.
    fields: usize,
    request: Option<Request>,
    hosts: u8,
    content_length: Option<u64>,
    transfer_encoding: bool,
}

impl Parser {
    pub(super) const fn new() -> Self {
        Self {
            line: heapless::Vec::new(),
            fields: 0,
            request: None,
            hosts: 0,
            content_length: None,
            transfer_encoding: false,
        }
    }

    /// Takes the next bytes; the request, once its head is complete or cannot become one.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Option<Request> {
        bytes.iter().find_map(|&byte| self.byte(byte))
    }

    fn byte(&mut self, byte: u8) -> Option<Request> {
        if self.request.is_some() {
            self.fields += 1;
            if self.fields > FIELDS {
                return Some(self.refuse(Status::FIELDS_TOO_LARGE));
            }
        }
        if byte != b'\n' {
            if self.line.len() < LINE {
                let _ = self.line.push(byte); // there is room
            } else if self.request.is_none() {
                return Some(Request::refused(Status::URI_TOO_LONG));
            }
            return None;
        }
        let mut line = core::mem::take(&mut self.line);
        // A line feed alone ends a line as well (RFC 9112 §2.2).
        if line.ends_with(b"\r") {
            line.pop();
        }
        let result = match self.request {
            // Empty lines before a request are passed over (RFC 9112 §2.2).
            None if line.is_empty() => {
                self.fields += 2;
                if self.fields > FIELDS {
                    Err(Status::BAD_REQUEST)
                } else {
                    Ok(())
                }
            }
            None => request_line(&mut line).map(|request| {
                self.fields = 0;
                self.request = Some(request);
            }),
            Some(request) if line.is_empty() => return Some(self.complete(request)),
            Some(_) => self.field(&mut line),
        };
        result.err().map(|status| self.refuse(status))
    }

    fn refuse(&self, status: Status) -> Request {
        let read = self.request.unwrap_or(Request::refused(status));
        Request { status, ..read }
    }

    /// A field line (RFC 9112 §5).
    fn field(&mut self, line: &mut HeadLine) -> Result<(), Status> {
        let mut field = [httparse::EMPTY_HEADER];
        let parsed = httparse::parse_headers(as_head(line), &mut field);
        let Ok(httparse::Status::Complete((_, &[httparse::Header { name, value }]))) = parsed else {
            return Err(Status::BAD_REQUEST);
        };
        if name.eq_ignore_ascii_case("host") {
            self.hosts = self.hosts.saturating_add(1);
            if !value.iter().all(|&byte| byte.is_ascii_graphic() && byte != b',') {
                return Err(Status::BAD_REQUEST);
            }
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            self.transfer_encoding = true;
        } else if name.eq_ignore_ascii_case("content-length") {
            let length = number(value).ok_or(Status::BAD_REQUEST)?;
            if self.content_length.replace(length).is_some_and(|other| other != length) {
                return Err(Status::BAD_REQUEST);
            }
        }
        Ok(())
    }

    fn complete(&self, request: Request) -> Request {
        // RFC 9112 §3.2: a request of HTTP/1.1 without Host, or any with two, is refused.
        let hosts_wrong = self.hosts > 1 || (self.hosts == 0 && request.chunked);
        // RFC 9112 §6.1: an attempt at request smuggling.
        let smuggled = self.transfer_encoding && (self.content_length.is_some() || !request.chunked);
        if hosts_wrong || smuggled {
            return self.refuse(Status::BAD_REQUEST);
        }
        request
    }
}

/// A request line (RFC 9112 §3).
fn request_line(line: &mut HeadLine) -> Result<Request, Status> {
    // A later HTTP/1 is served as HTTP/1.1 (RFC 9110 §2.5).
    if let [.., b'H', b'T', b'T', b'P', b'/', b'1', b'.', minor @ b'2'..=b'9'] = line.as_mut_slice() {
        *minor = b'1';
    }
    let other_version = matches!(
        line.as_slice(),
        [.., b'H', b'T', b'T', b'P', b'/', b'0' | b'2'..=b'9', b'.', b'0'..=b'9']
    );
    let mut head = httparse::Request::new(&mut []);
    match head.parse(as_head(line)) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::Version) if other_version => return Err(Status::VERSION_NOT_SUPPORTED),
        Ok(httparse::Status::Partial) | Err(_) => return Err(Status::BAD_REQUEST),
    }
    let method = head.method.unwrap_or_default().as_bytes();
    let target = head.path.unwrap_or_default().as_bytes();
    if !target.iter().all(u8::is_ascii_graphic) {
        return Err(Status::BAD_REQUEST);
    }
    let path = path(target);
    let status = match (method, path) {
        (b"GET" | b"HEAD" | b"POST" | b"PUT" | b"DELETE" | b"OPTIONS" | b"PATCH" | b"TRACE" | b"CONNECT", None) => {
            // RFC 9112 §3.2.3, §3.2.4: the other forms belong to these.
            match (method, target) {
                (b"CONNECT", _) | (b"OPTIONS", b"*") => Status::METHOD_NOT_ALLOWED,
                _ => Status::BAD_REQUEST,
            }
        }
        (b"GET" | b"HEAD", Some(b"/")) => Status::OK,
        (b"POST" | b"PUT" | b"DELETE" | b"OPTIONS" | b"PATCH" | b"TRACE" | b"CONNECT", Some(b"/")) => {
            Status::METHOD_NOT_ALLOWED
        }
        (b"GET" | b"HEAD" | b"POST" | b"PUT" | b"DELETE" | b"OPTIONS" | b"PATCH" | b"TRACE" | b"CONNECT", Some(_)) => {
            Status::NOT_FOUND
        }
        _ => Status::NOT_IMPLEMENTED,
    };
    if status == Status::BAD_REQUEST {
        return Err(status);
    }
    Ok(Request {
        status,
        head: method == b"HEAD",
        chunked: head.version == Some(1),
    })
}

/// The path of a target, in origin form or absolute form (RFC 9112 §3.2); `None` of any other.
fn path(target: &[u8]) -> Option<&[u8]> {
    let rest = match target.first() {
        Some(b'/') => target,
        _ => {
            let scheme = [&b"https://"[..], b"http://"].into_iter().find(|scheme| {
                target
                    .get(..scheme.len())
                    .is_some_and(|front| front.eq_ignore_ascii_case(scheme))
            })?;
            let rest = target.get(scheme.len()..)?;
            let slash = rest.iter().position(|byte| b"/?#".contains(byte));
            match slash.and_then(|at| rest.get(at..)) {
                Some(rest) if rest.starts_with(b"/") => rest,
                _ => b"/",
            }
        }
    };
    rest.split(|byte| b"?#".contains(byte)).next()
}

/// A number in digits alone.
fn number(digits: &[u8]) -> Option<u64> {
    let text = core::str::from_utf8(digits).ok()?;
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits)
}

#[cfg(test)]
mod tests;
