//! `multipart/related` bodies ([RFC 2046 5.1](https://www.rfc-editor.org/rfc/rfc2046#section-5.1),
//! [RFC 2387](https://www.rfc-editor.org/rfc/rfc2387)) as a state machine over bytes. It does no IO, takes any split of
//! the input, and holds back no more than a boundary or a part's headers.
//!
//! Tolerant of what clients send: bare line feeds, a preamble and an epilogue, white space after the boundary, unknown
//! part headers, and lines in the content that merely begin like the boundary.

use bytes::{Buf, Bytes, BytesMut};
use memchr::memmem::Finder;

use super::media::MediaType;

/// Longest header block of a part, in bytes.
const MAXIMUM_HEADERS: usize = 16 * 1024;
/// Most parts of a body. Studies have some thousand objects, and the outcome of each is kept until the end.
pub(crate) const MAXIMUM_PARTS: usize = 20_000;
/// Longest boundary. RFC 2046 5.1.1 ends at 70 characters; the DICOMweb plugin of Orthanc writes two UUIDs, which are 73.
const MAXIMUM_BOUNDARY: usize = 200;
/// White space that may follow a boundary on its line.
const MAXIMUM_PADDING: usize = 256;

/// Why a body is not multipart.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MultipartError {
    /// No usable boundary parameter.
    #[error("the Content-Type has no boundary of 1 to {MAXIMUM_BOUNDARY} characters; add one, and use it in the body")]
    Boundary,
    /// The headers of a part have no end.
    #[error("the headers of a part are longer than {MAXIMUM_HEADERS} bytes; an empty line ends them")]
    Headers,
    /// There are more parts than are accepted.
    #[error("the body has more than {MAXIMUM_PARTS} parts; send the rest in further requests")]
    Parts,
    /// The body ended before the closing boundary.
    #[error("the body ends before the closing boundary; send it again in full")]
    Unfinished,
}

/// What comes next in a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// A part begins.
    Part(PartHeaders),
    /// Content of the part.
    Content(Bytes),
    /// The part is complete.
    EndOfPart,
}

/// What the headers of a part say, as far as it is needed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PartHeaders {
    /// Content-Type, if there is one that can be read.
    pub(crate) media_type: Option<MediaType>,
    /// Content-Location: what refers to the part.
    pub(crate) location: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first boundary.
    Preamble,
    /// In the headers of a part; the buffer begins with the line feed of the boundary line.
    Headers,
    /// Before the first content of a part; the buffer begins with the line feed of the empty line, which is not
    /// content but may begin the next boundary.
    StartOfContent,
    /// In the content of a part.
    Content,
    /// After the closing boundary.
    Epilogue,
}

/// The state machine: [`push`](Self::push) bytes, take events until there is none, and [`finish`](Self::finish) at
/// the end.
#[derive(Debug)]
pub(crate) struct Parser {
    /// A line feed, two hyphens and the boundary.
    delimiter: Finder<'static>,
    buffer: BytesMut,
    state: State,
    /// True if lines end in CR LF, so that a CR in front of a boundary's line feed belongs to the boundary.
    carriage_returns: bool,
    /// Parts that began.
    parts: usize,
}

/// What a line with the delimiter is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// A boundary, with the number of bytes from the end of the delimiter to the line feed that ends the line.
    Boundary(usize),
    /// The closing boundary.
    Close,
    /// Content that only begins like a boundary.
    Content,
    /// Too few bytes to tell.
    Open,
}

impl Parser {
    /// A parser for the boundary that the Content-Type header names.
    pub(crate) fn new(boundary: &str) -> Result<Self, MultipartError> {
        if boundary.is_empty() || boundary.len() > MAXIMUM_BOUNDARY || boundary.contains(['\r', '\n']) {
            return Err(MultipartError::Boundary);
        }
        Ok(Self {
            delimiter: Finder::new(format!("\n--{boundary}").as_bytes()).into_owned(),
            // A line feed in front of the body lets the first boundary stand at its very beginning.
            buffer: BytesMut::from("\n"),
            state: State::Preamble,
            carriage_returns: false,
            parts: 0,
        })
    }

    /// Takes in bytes of the body.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.state != State::Epilogue {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next event, or `None` if more bytes are needed.
    pub(crate) fn event(&mut self) -> Result<Option<Event>, MultipartError> {
        loop {
            match self.state {
                State::Preamble => {
                    let (length, boundary) = self.content();
                    self.buffer.advance(length);
                    if !boundary {
                        return Ok(None);
                    }
                    self.pass_boundary();
                }
                State::Headers => return self.headers(),
                State::StartOfContent | State::Content => {
                    let (length, boundary) = self.content();
                    if length > 0 {
                        let mut content = self.buffer.split_to(length);
                        content.advance(usize::from(self.state == State::StartOfContent));
                        self.state = State::Content;
                        if !content.is_empty() {
                            return Ok(Some(Event::Content(content.freeze())));
                        }
                    } else if boundary {
                        self.pass_boundary();
                        return Ok(Some(Event::EndOfPart));
                    } else {
                        return Ok(None);
                    }
                }
                State::Epilogue => return Ok(None),
            }
        }
    }

    /// Says whether the body was complete.
    pub(crate) fn finish(&self) -> Result<(), MultipartError> {
        if self.state == State::Epilogue { Ok(()) } else { Err(MultipartError::Unfinished) }
    }

    /// How many bytes at the front are certainly content, and whether a boundary follows them.
    fn content(&self) -> (usize, bool) {
        let mut from = 0;
        while let Some(position) = self.delimiter.find(&self.buffer[from..]).map(|position| from + position) {
            match self.line(position) {
                Line::Content => from = position + 1,
                line => return (self.line_break(position), line != Line::Open),
            }
        }
        (self.line_break(self.beginning_of_delimiter(from)), false)
    }

    /// Where the end of the buffer may be the beginning of a delimiter; the end itself if nowhere.
    fn beginning_of_delimiter(&self, from: usize) -> usize {
        let delimiter = self.delimiter.needle();
        let end = self.buffer.len();
        let first = from.max((end + 1).saturating_sub(delimiter.len()));
        (first..end).find(|position| delimiter.starts_with(&self.buffer[*position..])).unwrap_or(end)
    }

    /// The beginning of the line break whose line feed stands (or may come) at `position`.
    fn line_break(&self, position: usize) -> usize {
        let before = self.buffer[..position].last();
        position - usize::from(self.carriage_returns && before == Some(&b'\r'))
    }

    fn line(&self, position: usize) -> Line {
        let rest = &self.buffer[position + self.delimiter.needle().len()..];
        let padding = rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        match &rest[padding..] {
            [b'-', b'-', ..] if padding == 0 => Line::Close,
            [b'-'] if padding == 0 => Line::Open,
            _ if padding > MAXIMUM_PADDING => Line::Content,
            [b'\n', ..] => Line::Boundary(padding),
            [b'\r', b'\n', ..] => Line::Boundary(padding + 1),
            [] | [b'\r'] => Line::Open,
            _ => Line::Content,
        }
    }

    /// Moves past the boundary at the front of the buffer, leaving the line feed of its line.
    fn pass_boundary(&mut self) {
        let line_feed = usize::from(self.buffer.first() == Some(&b'\r'));
        if let Line::Boundary(length) = self.line(line_feed) {
            self.buffer.advance(line_feed + self.delimiter.needle().len() + length);
            self.state = State::Headers;
        } else {
            self.buffer.clear();
            self.state = State::Epilogue;
        }
    }

    /// Reads the header block up to the empty line, whose line feed stays in the buffer.
    fn headers(&mut self) -> Result<Option<Event>, MultipartError> {
        let empty_line = memchr::memchr_iter(b'\n', &self.buffer).find_map(|end| match &self.buffer[end + 1..] {
            [b'\n', ..] => Some((end, end + 1)),
            [b'\r', b'\n', ..] => Some((end, end + 2)),
            _ => None,
        });
        let Some((end, line_feed)) = empty_line.filter(|(end, _)| *end <= MAXIMUM_HEADERS) else {
            let hopeless = self.buffer.len() > MAXIMUM_HEADERS;
            return if hopeless { Err(MultipartError::Headers) } else { Ok(None) };
        };
        self.parts += 1;
        if self.parts > MAXIMUM_PARTS {
            return Err(MultipartError::Parts);
        }
        self.carriage_returns = line_feed == end + 2;
        let headers = PartHeaders::read(&self.buffer[..end]);
        self.buffer.advance(line_feed);
        self.state = State::StartOfContent;
        Ok(Some(Event::Part(headers)))
    }
}

impl PartHeaders {
    fn read(lines: &[u8]) -> Self {
        let text = String::from_utf8_lossy(lines);
        // A line that begins with white space continues the one before it (RFC 5322 2.2.3).
        let unfolded = text.replace("\r\n", "\n").replace("\n ", " ").replace("\n\t", " ");
        let value = |wanted: &str| {
            let mut headers = unfolded.lines().filter_map(|line| line.split_once(':'));
            headers.find(|(name, _)| name.trim().eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim().to_owned())
        };
        Self {
            media_type: value("content-type").and_then(|value| MediaType::parse(&value)),
            location: value("content-location"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parts as (media type, content), fed in the given pieces.
    fn parts(boundary: &str, pieces: &[&[u8]]) -> Result<Vec<(Option<String>, Vec<u8>)>, MultipartError> {
        let mut parser = Parser::new(boundary)?;
        let mut parts = Vec::new();
        let mut complete = 0;
        for piece in pieces {
            parser.push(piece);
            while let Some(event) = parser.event()? {
                match event {
                    Event::Part(headers) => parts.push((headers.media_type.map(|known| known.essence), Vec::new())),
                    Event::Content(content) => parts.last_mut().expect("a part").1.extend_from_slice(&content),
                    Event::EndOfPart => complete += 1,
                }
            }
        }
        parser.finish()?;
        assert_eq!(complete, parts.len());
        Ok(parts)
    }

    /// Contents that look like boundaries, line breaks and each other.
    const TRICKY: &[u8] = b"DICM\r\n--b\r\n-\n--\r\r\n\r\n--boundary7 no\r\n--bound\x00\r";

    fn body(line: &str, preamble: &str, epilogue: &str) -> Vec<u8> {
        let mut body = format!("{preamble}--boundary{line}Content-Type: application/dicom{line}X-Odd:{line}{line}");
        let mut bytes = std::mem::take(&mut body).into_bytes();
        bytes.extend_from_slice(TRICKY);
        bytes.extend_from_slice(format!("{line}--boundary \t{line}{line}").as_bytes());
        bytes.extend_from_slice(b"second\n");
        bytes.extend_from_slice(
            format!("{line}--boundary{line}content-type: Text/Plain;{line} charset=x{line}{line}").as_bytes(),
        );
        bytes.extend_from_slice(format!("{line}--boundary--{epilogue}").as_bytes());
        bytes
    }

    #[test]
    fn every_split_of_a_body_gives_the_same_parts() {
        let expected = vec![
            (Some("application/dicom".to_owned()), TRICKY.to_vec()),
            (None, b"second\n".to_vec()),
            (Some("text/plain".to_owned()), Vec::new()),
        ];
        for line in ["\r\n", "\n"] {
            for preamble in ["", "\r\n", "\n", "not a part\r\n--boundaryish\r\n"] {
                let body = body(line, preamble, "\r\n--boundary\r\nignored");
                for first in 0..=body.len() {
                    let pieces = [&body[..first], &body[first..]];
                    assert_eq!(parts("boundary", &pieces).as_ref(), Ok(&expected), "split at {first}");
                }
                for size in [1, 2, 3, 7] {
                    let pieces: Vec<&[u8]> = body.chunks(size).collect();
                    assert_eq!(parts("boundary", &pieces).as_ref(), Ok(&expected), "pieces of {size}");
                }
            }
        }
    }

    #[test]
    fn a_boundary_may_be_as_long_as_neighbours_write_it() {
        let boundary = "034fd31e-a7a1-4138-b9a9-f2f9df3e62d9-034fd31e-a7a1-4138-b9a9-f2f9df3e62d9";
        let body = format!("--{boundary}\r\n\r\nx\r\n--{boundary}--");
        assert_eq!(parts(boundary, &[body.as_bytes()]), Ok(vec![(None, b"x".to_vec())]));
        for boundary in [String::new(), "b".repeat(MAXIMUM_BOUNDARY + 1)] {
            assert_eq!(parts(&boundary, &[]), Err(MultipartError::Boundary));
        }
    }

    #[test]
    fn a_part_may_be_empty_with_or_without_headers() {
        let body = b"--b\r\n\r\n\r\n--b\r\nContent-Type: a/b\r\n\r\n--b--";
        for first in 0..=body.len() {
            let parts = parts("b", &[&body[..first], &body[first..]]).expect("valid");
            assert_eq!(parts, [(None, Vec::new()), (Some("a/b".to_owned()), Vec::new())]);
        }
    }

    #[test]
    fn content_keeps_its_last_carriage_return_where_lines_end_in_a_line_feed() {
        assert_eq!(parts("b", &[b"--b\n\nx\r\n--b--"]), Ok(vec![(None, b"x\r".to_vec())]));
        assert_eq!(parts("b", &[b"--b\r\n\r\nx\r\n--b--"]), Ok(vec![(None, b"x".to_vec())]));
    }

    #[test]
    fn an_unfinished_body_is_an_error_wherever_it_ends() {
        let body = body("\r\n", "", "");
        for end in 0..body.len() {
            assert_eq!(parts("boundary", &[&body[..end]]), Err(MultipartError::Unfinished), "cut at {end}");
        }
    }

    #[test]
    fn headers_without_end_are_refused() {
        let endless = vec![b'a'; 2 * MAXIMUM_HEADERS];
        assert_eq!(parts("b", &[b"--b\r\n", &endless]), Err(MultipartError::Headers));
    }

    #[test]
    fn more_parts_than_are_accepted_are_an_error() {
        let part = b"--b\r\n\r\n\r\n";
        let most = [part.repeat(MAXIMUM_PARTS), b"--b--".to_vec()].concat();
        assert_eq!(parts("b", &[&most]).map(|parts| parts.len()), Ok(MAXIMUM_PARTS));
        let more = [part.repeat(MAXIMUM_PARTS + 1), b"--b--".to_vec()].concat();
        assert_eq!(parts("b", &[&more]), Err(MultipartError::Parts));
    }

    #[test]
    fn nothing_but_a_possible_boundary_is_held_back() {
        let mut parser = Parser::new("boundary").expect("boundary");
        parser.push(b"--boundary\r\n\r\n");
        let mut returned = 0;
        for _ in 0..1000 {
            parser.push(&[b'\n'; 1024]);
            while let Some(event) = parser.event().expect("valid") {
                if let Event::Content(content) = event {
                    returned += content.len();
                }
            }
            assert!(parser.buffer.len() < 32);
        }
        assert!(returned > 1000 * 1024 - 32);
    }
}
