//! Apache Kafka in KRaft mode: one or three nodes, each broker and controller.

use crate::{Network, Proxy, certificates::Certificates, java::kafka_class, ports::free_ports, process::Process};
use std::{
    fmt::Write as _,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
    time::Duration,
};
use tempfile::TempDir;

/// The user that every SASL mechanism knows.
pub const USER: &str = "headwater";

/// The password of [`USER`], for PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512.
pub const PASSWORD: &str = "headwater-secret";

/// How long a broker may take to start or to stop on a busy machine.
const PATIENCE: Duration = Duration::from_mins(5);

/// How a client talks to a broker. Each broker listens for all of them, each on a port of its own.
///
/// The SASL ones take PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 ([`USER`], [`PASSWORD`]) and OAUTHBEARER with an unsecured JWT (RFC 7515,
/// appendix A.5; librdkafka's `enable.sasl.oauthbearer.unsecure.jwt`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Neither encrypted nor authenticated.
    Plaintext,
    /// TLS, for any client.
    Ssl,
    /// TLS for clients with a certificate: `security.protocol=SSL` to the client, another port here.
    MutualTls,
    /// SASL without TLS.
    SaslPlaintext,
    /// SASL over TLS, for any client.
    SaslSsl,
    /// Neither encrypted nor authenticated, through a network that [`RealKafka::network`] rules.
    Proxied,
}

impl Protocol {
    const ALL: [Protocol; 6] = [
        Protocol::Plaintext,
        Protocol::Ssl,
        Protocol::MutualTls,
        Protocol::SaslPlaintext,
        Protocol::SaslSsl,
        Protocol::Proxied,
    ];

    /// The name of its listener, and Kafka's name of the protocol.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Protocol::Plaintext => ("PLAINTEXT", "PLAINTEXT"),
            Protocol::Ssl => ("SSL", "SSL"),
            Protocol::MutualTls => ("MTLS", "SSL"),
            Protocol::SaslPlaintext => ("SASL_PLAINTEXT", "SASL_PLAINTEXT"),
            Protocol::SaslSsl => ("SASL_SSL", "SASL_SSL"),
            Protocol::Proxied => ("PROXIED", "PLAINTEXT"),
        }
    }
}

/// What a test may choose.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many brokers, 1 or 3. With 3, `min.insync.replicas` is 2.
    pub brokers: usize,
    /// More server properties, such as `("message.max.bytes", "1000")`; the last of a name wins.
    pub properties: Vec<(String, String)>,
    /// A disk of so many MiB for each broker, which [`RealKafka::fill_disk`] can fill: a file system in memory, for which this must run as
    /// root or be allowed `sudo`. None: the disk of temporary files.
    pub disk_mib: Option<u32>,
}

impl Default for Options {
    fn default() -> Options {
        Options { brokers: 1, properties: Vec::new(), disk_mib: None }
    }
}

/// A record, as Kafka's console consumer prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Its partition.
    pub partition: i32,
    /// Its place in the partition.
    pub offset: i64,
    /// `CreateTime`, in milliseconds since 1970.
    pub timestamp: i64,
    /// Names and values, in their order.
    pub headers: Vec<(String, String)>,
    /// Its key, if it has one.
    pub key: Option<String>,
    /// Its value; none is a tombstone.
    pub value: Option<String>,
}

/// A Kafka of one test. Brokers are numbered from 1. Their data lives until this is dropped.
pub struct RealKafka {
    nodes: Vec<Node>,
    certificates: Certificates,
    folder: TempDir,
}

struct Node {
    ports: [u16; Protocol::ALL.len()],
    proxy: Proxy,
    disk: Option<Disk>,
    properties: PathBuf,
    log: PathBuf,
    /// None when it was stopped or killed.
    process: Mutex<Option<Process>>,
}

impl RealKafka {
    /// Starts 1 or 3 brokers on free ports of 127.0.0.1, and waits until all take part.
    pub fn start(brokers: usize) -> RealKafka {
        RealKafka::with(&Options { brokers, ..Options::default() })
    }

    /// The same, with more to choose.
    pub fn with(options: &Options) -> RealKafka {
        assert!(matches!(options.brokers, 1 | 3), "1 or 3 brokers");
        let folder = tempfile::tempdir().expect("a temporary folder");
        let certificates = Certificates::create(folder.path());
        let mut ports = free_ports(options.brokers * (Protocol::ALL.len() + 1)).into_iter();
        let mut port = || ports.next().expect("as many ports as were asked for");
        let controllers: Vec<u16> = (0..options.brokers).map(|_| port()).collect();
        let nodes = (1..=options.brokers)
            .map(|id| {
                let ports = [(); Protocol::ALL.len()].map(|()| port());
                let proxy = Proxy::start(ports[Protocol::Proxied as usize]);
                let data = folder.path().join(format!("data-{id}"));
                let disk = options.disk_mib.map(|mib| Disk::mount(data, mib));
                let properties = folder.path().join(format!("{id}.properties"));
                let text =
                    server_properties(id, &controllers, ports, proxy.port(), folder.path(), &certificates, options);
                fs::write(&properties, text).expect("a file of ours");
                let log = folder.path().join(format!("{id}.log"));
                Node { ports, proxy, disk, properties, log, process: Mutex::new(None) }
            })
            .collect();
        let kafka = RealKafka { nodes, certificates, folder };
        kafka.format();
        for node in &kafka.nodes {
            node.spawn();
        }
        for node in &kafka.nodes {
            node.wait();
        }
        kafka
    }

    /// Addresses of all brokers, as `bootstrap.servers` takes them.
    pub fn bootstrap(&self, protocol: Protocol) -> String {
        let port = |node: &Node| match protocol {
            Protocol::Proxied => node.proxy.port(),
            _ => node.ports[protocol as usize],
        };
        let at = |node: &Node| format!("127.0.0.1:{}", port(node));
        self.nodes.iter().map(at).collect::<Vec<_>>().join(",")
    }

    /// What clients need for TLS.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// Stops broker `n` the regular way: it hands over first.
    pub fn stop(&self, n: usize) {
        let process = self.node(n).process.lock().expect("no test panicked here").take();
        process.unwrap_or_else(|| panic!("broker {n} does not run")).stop(PATIENCE);
    }

    /// Ends broker `n` by SIGKILL.
    pub fn kill(&self, n: usize) {
        let process = self.node(n).process.lock().expect("no test panicked here").take();
        drop(process.unwrap_or_else(|| panic!("broker {n} does not run")));
    }

    /// SIGSTOP: connections of broker `n` stay open, and nothing answers.
    pub fn pause(&self, n: usize) {
        self.node(n).signal("STOP");
    }

    /// Ends [`RealKafka::pause`].
    pub fn resume(&self, n: usize) {
        self.node(n).signal("CONT");
    }

    /// Starts broker `n` again on its data and ports, after stopping it if it runs, and waits until it takes part.
    /// Most of the brokers must run with it.
    pub fn restart(&self, n: usize) {
        let node = self.node(n);
        if let Some(mut process) = node.process.lock().expect("no test panicked here").take()
            && process.runs()
        {
            process.stop(PATIENCE);
        }
        node.spawn();
        node.wait();
    }

    /// Changes the network to all brokers, for clients of [`Protocol::Proxied`].
    pub fn network(&self, network: Network) {
        self.nodes.iter().for_each(|node| node.proxy.set(network));
    }

    /// Closes the connections of these clients.
    pub fn reset_connections(&self) {
        self.nodes.iter().for_each(|node| node.proxy.reset());
    }

    /// Half-closes them: the brokers' last word is said, what clients send goes on arriving.
    pub fn half_close_connections(&self) {
        self.nodes.iter().for_each(|node| node.proxy.half_close());
    }

    /// Fills the disk of broker `n`, which has one of its own, to the last byte.
    pub fn fill_disk(&self, n: usize) {
        self.node(n).disk.as_ref().expect("`disk_mib` was chosen").fill();
    }

    /// Ends [`RealKafka::fill_disk`].
    pub fn free_disk(&self, n: usize) {
        self.node(n).disk.as_ref().expect("`disk_mib` was chosen").free();
    }

    /// Whether broker `n` runs: one that meets a full disk ends by itself.
    pub fn runs(&self, n: usize) -> bool {
        self.node(n).process.lock().expect("no test panicked here").as_mut().is_some_and(Process::runs)
    }

    /// The process id of broker `n`.
    pub fn pid(&self, n: usize) -> Option<u32> {
        self.node(n).process.lock().expect("no test panicked here").as_ref().map(Process::id)
    }

    /// What broker `n` has logged since it was last started.
    pub fn log(&self, n: usize) -> String {
        self.node(n).process.lock().expect("no test panicked here").as_ref().map(Process::printed).unwrap_or_default()
    }

    /// Creates a topic that all brokers replicate; `config` such as `("max.message.bytes", "1000")`.
    pub fn create_topic(&self, name: &str, partitions: u32, config: &[(&str, &str)]) {
        let (partitions, replicas) = (partitions.to_string(), self.nodes.len().to_string());
        let config: Vec<_> = config.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let mut args =
            vec!["--create", "--topic", name, "--partitions", &partitions, "--replication-factor", &replicas];
        args.extend(config.iter().flat_map(|pair| ["--config", pair]));
        self.own_tool("org.apache.kafka.tools.TopicCommand", &args, "");
    }

    /// The first `count` records of a topic, or as many as there are after 30 seconds without another, as Kafka's console consumer reads
    /// them with `isolation.level=read_committed`. Keys, values and headers are text without line ends. The order holds within a partition.
    pub fn console_consumer(&self, topic: &str, count: usize) -> Vec<Record> {
        let count = count.to_string();
        let mut args = vec!["--topic", topic, "--from-beginning", "--max-messages", &count, "--timeout-ms", "30000"];
        args.extend(["--isolation-level", "read_committed"]);
        for property in [
            "print.partition=true",
            "print.offset=true",
            "print.timestamp=true",
            "print.headers=true",
            "print.key=true",
            "key.separator=\u{1}",
            "headers.separator=\u{2}",
            "null.literal=\u{3}",
        ] {
            args.extend(["--formatter-property", property]);
        }
        let (printed, errors) = self.own_tool("org.apache.kafka.tools.consumer.ConsoleConsumer", &args, "");
        // It ends well whatever it met; the time-out is the 30 seconds.
        assert!(!errors.contains(" ERROR ") || errors.contains("errors.TimeoutException"), "{errors}");
        printed.lines().map(|line| record(line).unwrap_or_else(|| panic!("not a record: {line:?}"))).collect()
    }

    /// Writes a record for each value, without a key, with `acks=all`, as Kafka's console producer does.
    pub fn console_producer(&self, topic: &str, values: &[String]) {
        let lines = values.iter().fold(String::new(), |lines, value| lines + value + "\n");
        let mut args = vec!["--topic", topic, "--request-required-acks", "all"];
        // As often and as long as it takes a broker that has just been killed to be missed.
        args.extend(["--request-timeout-ms", "30000", "--message-send-max-retries", "1000"]);
        let (_, errors) = self.own_tool("org.apache.kafka.tools.ConsoleProducer", &args, &lines);
        // It ends well whatever became of the records.
        assert!(!errors.contains(" ERROR "), "{errors}");
    }

    /// Runs a command line tool of Kafka, by its class, with these brokers as its `--bootstrap-server`; `input` is its standard input.
    /// Its standard output, or all that it printed if it failed.
    pub fn tool(&self, protocol: Protocol, class: &str, args: &[&str], input: &str) -> Result<String, String> {
        run(&mut self.command(protocol, class, args), input).map(|(output, _)| output)
    }

    fn own_tool(&self, class: &str, args: &[&str], input: &str) -> (String, String) {
        run(&mut self.command(Protocol::Plaintext, class, args), input).unwrap_or_else(|why| panic!("{why}"))
    }

    fn command(&self, protocol: Protocol, class: &str, args: &[&str]) -> Command {
        let mut command = kafka_class(128, "ERROR", class);
        command.arg("--bootstrap-server").arg(self.bootstrap(protocol)).args(args);
        command
    }

    fn node(&self, n: usize) -> &Node {
        n.checked_sub(1).and_then(|n| self.nodes.get(n)).unwrap_or_else(|| panic!("there is no broker {n}"))
    }

    /// Gives each node its place in one cluster, which knows [`USER`].
    fn format(&self) {
        // A cluster id is 16 bytes as base64.
        let id = format!("{:021}A", u64::from(std::process::id()));
        std::thread::scope(|scope| {
            for node in &self.nodes {
                let mut command = kafka_class(128, "ERROR", "kafka.tools.StorageTool");
                command.args(["format", "--cluster-id", &id, "--config"]).arg(&node.properties);
                for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
                    command.arg("--add-scram").arg(format!("{mechanism}=[name={USER},password={PASSWORD}]"));
                }
                scope.spawn(move || run(&mut command, "").unwrap_or_else(|why| panic!("{why}")));
            }
        });
    }
}

impl Drop for RealKafka {
    /// Kills all, and keeps their logs if the test failed.
    fn drop(&mut self) {
        for node in &self.nodes {
            drop(node.process.lock().ok().and_then(|mut process| process.take()));
        }
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
            eprintln!("the brokers' logs and data: {}", self.folder.path().display());
        }
    }
}

impl Node {
    fn spawn(&self) {
        let mut command = kafka_class(256, "INFO", "kafka.Kafka");
        command.arg(&self.properties);
        *self.process.lock().expect("no test panicked here") = Some(Process::spawn(&mut command, &self.log));
    }

    /// Until the broker is registered, has the metadata and is no longer fenced.
    fn wait(&self) {
        let mut process = self.process.lock().expect("no test panicked here");
        process.as_mut().expect("it was started").wait_for("Kafka Server started", PATIENCE);
    }

    fn signal(&self, name: &str) {
        self.process.lock().expect("no test panicked here").as_ref().expect("the broker runs").signal(name);
    }
}

/// A file system in memory, unmounted when dropped.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: PathBuf, mib: u32) -> Disk {
        fs::create_dir_all(&at).expect("a folder of ours");
        let size = format!("size={mib}m,mode=0777");
        as_root(&["mount", "-t", "tmpfs", "-o", &size, "headwater-test"], &at);
        Disk(at)
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    fn fill(&self) {
        let mut file = fs::OpenOptions::new().create(true).append(true).open(self.ballast()).expect("a file of ours");
        for size in [1 << 20, 4096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn free(&self) {
        fs::remove_file(self.ballast()).expect("a file of ours");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        as_root(&["umount", "--lazy"], &self.0);
    }
}

fn as_root(command: &[&str], path: &Path) {
    let status = Command::new(command[0]).args(&command[1..]).arg(path).stderr(Stdio::null()).status();
    if !status.is_ok_and(|status| status.success()) {
        let status = Command::new("sudo").arg("-n").args(command).arg(path).status();
        assert!(status.is_ok_and(|status| status.success()), "needs root: {command:?} {}", path.display());
    }
}

/// `server.properties` of one node.
fn server_properties(
    id: usize,
    controllers: &[u16],
    ports: [u16; Protocol::ALL.len()],
    proxied: u16,
    folder: &Path,
    certificates: &Certificates,
    options: &Options,
) -> String {
    let listed = |entries: Vec<String>| entries.join(",");
    let voters = controllers.iter().enumerate().map(|(n, port)| format!("{}@127.0.0.1:{port}", n + 1)).collect();
    let own =
        Protocol::ALL.iter().zip(ports).map(|(protocol, port)| format!("{}://127.0.0.1:{port}", protocol.names().0));
    let advertised = Protocol::ALL.iter().zip(ports).map(|(protocol, port)| {
        let port = if *protocol == Protocol::Proxied { proxied } else { port };
        format!("{}://127.0.0.1:{port}", protocol.names().0)
    });
    let controller = format!("CONTROLLER://127.0.0.1:{}", controllers[id - 1]);
    let protocols = Protocol::ALL.map(|protocol| format!("{}:{}", protocol.names().0, protocol.names().1)).join(",");
    let (replicas, in_sync) = if options.brokers == 1 { (1, 1) } else { (options.brokers, 2) };
    let mut text = format!(
        "process.roles=broker,controller
node.id={id}
controller.quorum.voters={}
listeners={}
advertised.listeners={}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,{protocols}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
log.dirs={}
auto.create.topics.enable=false
default.replication.factor={replicas}
min.insync.replicas={in_sync}
",
        listed(voters),
        listed(own.chain([controller]).collect()),
        listed(advertised.collect()),
        folder.join(format!("data-{id}")).display(),
    );
    for topic in ["offsets.topic", "transaction.state.log", "share.coordinator.state.topic"] {
        let _ = writeln!(text, "{topic}.num.partitions=3\n{topic}.replication.factor={replicas}");
    }
    for topic in ["transaction.state.log", "share.coordinator.state.topic"] {
        let _ = writeln!(text, "{topic}.min.isr={in_sync}");
    }
    // Quick: no waiting for more group members, and a broker that is gone is noticed after 6 s.
    text.push_str(
        "group.initial.rebalance.delay.ms=0\nbroker.heartbeat.interval.ms=500\nbroker.session.timeout.ms=6000\n",
    );
    text.push_str("replica.lag.time.max.ms=6000\n");
    // Small: the log cleaner alone would take 128 MiB.
    text.push_str(
        "log.cleaner.dedupe.buffer.size=4194304\nnum.network.threads=2\nnum.io.threads=4\nbackground.threads=2\n",
    );
    let _ = writeln!(
        text,
        "ssl.keystore.type=PEM\nssl.keystore.location={}\nssl.truststore.type=PEM\nssl.truststore.location={}",
        certificates.server.display(),
        certificates.ca.display(),
    );
    text.push_str("listener.name.mtls.ssl.client.auth=required\n");
    text.push_str("sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER\n");
    let modules = "org.apache.kafka.common.security";
    for listener in ["sasl_plaintext", "sasl_ssl"] {
        for (mechanism, module) in [
            ("plain", format!("plain.PlainLoginModule required user_{USER}=\"{PASSWORD}\"")),
            ("scram-sha-256", "scram.ScramLoginModule required".to_owned()),
            ("scram-sha-512", "scram.ScramLoginModule required".to_owned()),
            ("oauthbearer", "oauthbearer.OAuthBearerLoginModule required".to_owned()),
        ] {
            let _ = writeln!(text, "listener.name.{listener}.{mechanism}.sasl.jaas.config={modules}.{module};");
        }
    }
    for (name, value) in &options.properties {
        let _ = writeln!(text, "{name}={value}");
    }
    text
}

/// Runs a program to its end: its standard output and its errors, or both in one text if it failed.
fn run(command: &mut Command, input: &str) -> Result<(String, String), String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    // A tool that refuses to start does not read.
    let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("the end of a child");
    let [printed, errors] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    if output.status.success() {
        Ok((printed, errors))
    } else {
        Err(format!("{command:?}: {}\n{printed}{errors}", output.status))
    }
}

/// Reads a line of the console consumer: time, partition, offset, headers, key, value.
fn record(line: &str) -> Option<Record> {
    let fields: Vec<&str> = line.splitn(6, '\u{1}').collect();
    let [timestamp, partition, offset, headers, key, value] = fields[..] else { return None };
    let text = |field: &str| (field != "\u{3}").then(|| field.to_owned());
    let headers = match headers {
        "NO_HEADERS" => Vec::new(),
        headers => {
            let pair = |header: &str| header.split_once(':').map(|(name, value)| (name.to_owned(), value.to_owned()));
            headers.split('\u{2}').map(pair).collect::<Option<_>>()?
        }
    };
    Some(Record {
        partition: partition.strip_prefix("Partition:")?.parse().ok()?,
        offset: offset.strip_prefix("Offset:")?.parse().ok()?,
        timestamp: timestamp.split_once(':')?.1.parse().ok()?,
        headers,
        key: text(key),
        value: text(value),
    })
}
