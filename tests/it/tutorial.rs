//! The tutorial of docs/aggregation.md, followed word for word, and the examples of its reference.
//!
//! The fenced blocks say by the words behind their language what they are:
//!
//! ```text
//! toml platform.toml                   a file of that name; `(added)`: its end
//! json order-service GET /orders 503   what a service answers from here on; 200 unless it says so
//! console                              `$ ` commands, each followed by what it prints
//! ```
//!
//! In what is printed, `…` stands for anything on a line, and alone on a line for any lines. The
//! ports are mapped to free ones. `curl` lines are sent by a client of our own, so that nothing has
//! to be installed.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use http::{Method, StatusCode};
use tests::harness::program;
use tests::verify::repository;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// One block of the document.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    /// The words behind the language.
    words: Vec<String>,
    language: String,
    text: String,
}

/// The blocks of a text, in their order.
fn blocks(text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some(info) = line.strip_prefix("```") else { continue };
        let mut words = info.split_whitespace().map(str::to_owned);
        let language = words.next().unwrap_or_default();
        let words = words.collect();
        let inside = lines.by_ref().take_while(|line| *line != "```");
        let text: String = inside.flat_map(|line| [line, "\n"]).collect();
        blocks.push(Block { words, language, text });
    }
    blocks
}

/// The tutorial and the reference.
fn document() -> (String, String) {
    let text = std::fs::read_to_string(repository().join("docs/aggregation.md"));
    let text = text.expect("readable");
    let (tutorial, reference) = text.split_once("\n## Reference\n").expect("two halves");
    (tutorial.to_owned(), reference.to_owned())
}

/// What services answer, by `service METHOD target`.
type Answers = Arc<Mutex<HashMap<String, (StatusCode, String)>>>;

/// A reader who does what the tutorial says.
struct Reader {
    folder: tempfile::TempDir,
    /// The files as the tutorial has them.
    files: HashMap<String, String>,
    answers: Answers,
    services: JoinSet<()>,
    /// The ports of the tutorial, and those that stand in for them.
    ports: HashMap<String, String>,
    gateways: HashMap<String, Serving>,
    client: reqwest::Client,
    commands: usize,
}

/// A gateway that serves until it is dropped.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Reader {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().expect("a folder"),
            files: HashMap::new(),
            answers: Answers::default(),
            services: JoinSet::new(),
            ports: HashMap::new(),
            gateways: HashMap::new(),
            client: reqwest::Client::builder().no_proxy().build().expect("a client"),
            commands: 0,
        }
    }

    async fn follow(&mut self, block: &Block) {
        let words: Vec<&str> = block.words.iter().map(String::as_str).collect();
        match (block.language.as_str(), &*words) {
            ("toml", [name]) => self.write(name, block.text.clone()).await,
            ("toml", [name, "(added)"]) => {
                let whole = format!("{}{}", self.files[*name], block.text);
                self.write(name, whole).await;
            }
            ("json", [service, method, target, status @ ..]) => {
                let status = status.first().map_or(200, |status| status.parse().expect("a status"));
                let status = StatusCode::from_u16(status).expect("a status");
                let call = format!("{service} {method} {target}");
                let answer = (status, block.text.trim_end().to_owned());
                self.answers.lock().expect("no panic").insert(call, answer);
            }
            ("console", []) => self.run_all(&block.text).await,
            _ => panic!("a block that nobody follows: {block:?}"),
        }
    }

    /// Writes a file as it is, but for the ports of its services, which are started.
    async fn write(&mut self, name: &str, text: String) {
        let file = parsed(&text);
        let services = file.get("services").and_then(toml_edit::Item::as_table_like);
        for (service, table) in services.into_iter().flat_map(toml_edit::TableLike::iter) {
            let port = port_of(table["url"].as_str().expect("a url"));
            if !self.ports.contains_key(&port) {
                let own = self.start_service(service).await;
                self.ports.insert(port, own);
            }
        }
        std::fs::write(self.folder.path().join(name), self.mapped(&text)).expect("written");
        self.files.insert(name.to_owned(), text);
    }

    /// The text with the ports that stand in for its own.
    fn mapped(&self, text: &str) -> String {
        let mut pieces = text.split(HOST);
        let mut mapped = pieces.next().unwrap_or_default().to_owned();
        for piece in pieces {
            let rest = piece.trim_start_matches(|char: char| char.is_ascii_digit());
            let port = &piece[..piece.len() - rest.len()];
            mapped += &[HOST, self.ports.get(port).map_or(port, |own| own), rest].concat();
        }
        mapped
    }

    async fn start_service(&mut self, service: &str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let state = (service.to_owned(), Arc::clone(&self.answers));
        let router = Router::new().fallback(answer).with_state(state);
        self.services.spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        address.port().to_string()
    }

    async fn run_all(&mut self, console: &str) {
        for command in console.split("$ ").skip(1) {
            let (line, expected) = command.split_once('\n').expect("a command");
            let words = words_of(line);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let printed = match &*words {
                ["curl", arguments @ ..] => self.curl(arguments).await,
                [gateway, "serve", arguments @ ..] => {
                    tokio::task::block_in_place(|| self.serve(gateway, arguments))
                }
                [gateway, arguments @ ..] => {
                    tokio::task::block_in_place(|| self.run(gateway, arguments))
                }
                [] => panic!("no command: {line:?}"),
            };
            assert!(
                matches(expected, &printed),
                "$ {line}\nexpected:\n{expected}\nprinted:\n{printed}"
            );
            self.commands += 1;
        }
    }

    fn command(&self, gateway: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program(gateway));
        command.args(arguments).current_dir(self.folder.path()).env_clear().stdin(Stdio::null());
        command
    }

    fn run(&self, gateway: &str, arguments: &[&str]) -> String {
        let output = self.command(gateway, arguments).output().expect("the program runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// Starts a gateway on free ports, in place of one that runs; what it says until it serves.
    fn serve(&mut self, gateway: &str, arguments: &[&str]) -> String {
        drop(self.gateways.remove(gateway));
        let file = parsed(&self.files[&format!("{gateway}.toml")]);
        let mut command = self.command(gateway, &["serve", "--stop-with-parent"]);
        command.args(arguments).stdout(Stdio::null()).stderr(Stdio::piped());
        for name in ["GATEWAY__SERVER__LISTEN", "GATEWAY__ADMIN__LISTEN"] {
            command.env(name, "127.0.0.1:0");
        }
        let mut child = command.spawn().expect("the program runs");
        let mut said = BufReader::new(child.stderr.take().expect("piped"));
        self.gateways.insert(gateway.to_owned(), Serving(child));
        let mut line = String::new();
        said.read_line(&mut line).expect("UTF-8");
        assert!(line.contains("serving"), "{gateway} does not serve: {line}");
        for (section, name) in [("server", "address="), ("admin", "admin=")] {
            let written = port_of(file[section]["listen"].as_str().expect("an address"));
            let own = line.split_whitespace().find_map(|word| word.strip_prefix(name));
            self.ports.insert(written, port_of(own.expect("where it listens")));
        }
        // It must be able to go on speaking.
        std::thread::spawn(move || said.lines().count());
        line
    }

    /// The answer as `curl` prints it.
    async fn curl(&self, arguments: &[&str]) -> String {
        let (mut method, mut shows_head, mut url) = (Method::GET, false, None);
        let mut headers = Vec::new();
        let mut arguments = arguments.iter();
        while let Some(&argument) = arguments.next() {
            let mut next = || *arguments.next().expect("a value");
            match argument {
                "-X" => method = next().parse().expect("a method"),
                "-H" => headers.push(next().split_once(": ").expect("a header field")),
                "-s" | "-sN" => {}
                "-si" => shows_head = true,
                _ => url = Some(self.mapped(argument)),
            }
        }
        let mut request = self.client.request(method, url.expect("a URL"));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let answer = request.send().await.expect("an answer");
        let mut printed = String::new();
        if shows_head {
            printed = format!("{:?} {}\n", answer.version(), answer.status());
            for (name, value) in answer.headers() {
                printed += &format!("{name}: {}\n", value.to_str().expect("ASCII"));
            }
            printed.push('\n');
        }
        printed + &answer.text().await.expect("a body")
    }
}

async fn answer(State((service, answers)): State<(String, Answers)>, request: Request) -> Response {
    let call = format!("{service} {} {}", request.method(), request.uri());
    let answer = answers.lock().expect("no panic").get(&call).cloned();
    answer.unwrap_or((StatusCode::NOT_FOUND, String::new())).into_response()
}

/// What everybody listens on.
const HOST: &str = "127.0.0.1:";

fn port_of(address: &str) -> String {
    address.split_once(HOST).expect("this machine").1.to_owned()
}

fn parsed(text: &str) -> toml_edit::DocumentMut {
    text.parse().expect("TOML")
}

/// The words of a shell's line: in quotes, spaces do not part them.
fn words_of(line: &str) -> Vec<String> {
    let quoted = line.split('\'').enumerate();
    let words = quoted.flat_map(|(number, piece)| match number % 2 {
        0 => piece.split_whitespace().map(str::to_owned).collect(),
        _ => vec![piece.to_owned()],
    });
    words.collect()
}

/// Whether a text is what was expected, line by line.
fn matches(expected: &str, printed: &str) -> bool {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    lines_match(&lines(expected.trim_end()), &lines(printed.trim_end()))
}

fn lines_match(expected: &[String], printed: &[String]) -> bool {
    match (expected, printed) {
        ([first, rest @ ..], _) if first == "…" => {
            (0..=printed.len()).any(|skipped| lines_match(rest, &printed[skipped..]))
        }
        ([first, rest @ ..], [line, others @ ..]) => {
            line_matches(first, line) && lines_match(rest, others)
        }
        (expected, printed) => expected.is_empty() && printed.is_empty(),
    }
}

fn line_matches(expected: &str, line: &str) -> bool {
    let mut pieces = expected.split('…');
    let Some(mut rest) = line.strip_prefix(pieces.next().unwrap_or_default()) else { return false };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else { return rest.is_empty() };
    for piece in pieces {
        let Some((_, after)) = rest.split_once(piece) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tutorial_can_be_followed_word_for_word() {
    let mut reader = Reader::new();
    for block in blocks(&document().0) {
        reader.follow(&block).await;
    }
    assert!(reader.commands >= 15, "{} commands were found", reader.commands);
}

/// Every `toml` block of the reference, added to what the tutorial has come to, is accepted.
#[tokio::test(flavor = "multi_thread")]
async fn every_example_of_the_reference_is_accepted() {
    let (tutorial, reference) = document();
    let mut reader = Reader::new();
    for block in blocks(&tutorial).iter().filter(|block| block.language == "toml") {
        reader.follow(block).await;
    }
    let examples = blocks(&reference).into_iter().filter(|block| block.language == "toml");
    let examples: Vec<String> = examples.map(|block| block.text).collect();
    assert!(examples.len() >= 4, "{examples:?}");
    let words = vec!["platform.toml".to_owned(), "(added)".to_owned()];
    let added = Block { words, language: "toml".to_owned(), text: examples.join("\n") };
    reader.follow(&added).await;
    for gateway in ["web-bff", "mobile-bff"] {
        let arguments = ["check", "--config", "."];
        tokio::task::block_in_place(|| reader.run(gateway, &arguments));
    }
}

#[test]
fn an_ellipsis_stands_for_anything_and_nothing_else_does() {
    for (expected, printed, is_match) in [
        ("a\n", "a\n", true),
        ("a", "b", false),
        ("a…c", "abbc", true),
        ("a…c", "abbcd", false),
        ("a…b…", "a b", true),
        ("…\nb", "a\na\nb", true),
        ("a\n…\nb", "a\nb", true),
        ("a\n…", "b\na", false),
        ("a", "a\nb", false),
    ] {
        assert_eq!(matches(expected, printed), is_match, "{expected:?} {printed:?}");
    }
}
