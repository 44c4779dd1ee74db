use super::*;
use crate::identity::Identity;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

/// A coordinator with one token.
struct House {
    _place: tempfile::TempDir,
    identity: Identity,
    token: Token,
    known: Known,
}

impl House {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let identity = Identity::open(place.path()).unwrap();
        let tokens = identity.tokens().unwrap();
        let token = tokens.create(&"lab".parse().unwrap(), None).unwrap();
        let known = Arc::new(RwLock::new(tokens.known_keys().unwrap().0));
        Self { _place: place, identity, token, known }
    }

    fn side(&self) -> Coordinator {
        Coordinator::new(self.identity.key(), Arc::clone(&self.known)).unwrap()
    }
}

/// What both sides make of each other. The coordinator greets whoever it takes.
async fn meet(
    worker: &Worker,
    coordinator: &Coordinator,
) -> (Result<(), WorkerRefusal>, Result<Pin, PeerRefusal>) {
    let (here, there) = duplex(1 << 16);
    let accept = async {
        let (mut stream, pin) = coordinator.accept(there).await?;
        stream.write_all(b"hello").await.map_err(PeerRefusal::Broken)?;
        stream.flush().await.map_err(PeerRefusal::Broken)?;
        Ok(pin)
    };
    let (joined, accepted) = tokio::join!(worker.connect(here), accept);
    (joined.map(drop), accepted)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn whoever_has_the_token_is_let_in_until_it_is_revoked() {
    let house = House::new();
    let worker = Worker::new(&house.token).unwrap();
    runtime().block_on(async {
        let (joined, accepted) = meet(&worker, &house.side()).await;
        joined.unwrap();
        assert_eq!(accepted.unwrap(), PrivateKey::of_worker(&house.token).unwrap().pin());
        let side = house.side();
        house.known.write().unwrap().clear();
        let (joined, accepted) = meet(&worker, &side).await;
        assert!(matches!(joined, Err(WorkerRefusal::UnknownToken)), "{joined:?}");
        assert!(matches!(accepted, Err(PeerRefusal::UnknownKey)), "{accepted:?}");
    });
}

#[test]
fn a_wrong_secret_and_another_coordinator_are_told_apart() {
    let [house, other] = [House::new(), House::new()];
    runtime().block_on(async {
        // The right pin with a secret that is not the coordinator's.
        let guessed = Token::new(house.token.pin()).unwrap();
        let (joined, accepted) = meet(&Worker::new(&guessed).unwrap(), &house.side()).await;
        assert!(matches!(joined, Err(WorkerRefusal::UnknownToken)), "{joined:?}");
        assert!(matches!(accepted, Err(PeerRefusal::UnknownKey)), "{accepted:?}");
        let (joined, accepted) = meet(&Worker::new(&house.token).unwrap(), &other.side()).await;
        assert!(matches!(joined, Err(WorkerRefusal::OtherCoordinator)), "{joined:?}");
        assert!(matches!(accepted, Err(PeerRefusal::OtherCoordinator)), "{accepted:?}");
    });
}

#[test]
fn a_worker_with_a_token_never_speaks_plainly() {
    let house = House::new();
    let worker = Worker::new(&house.token).unwrap();
    runtime().block_on(async {
        let (here, mut there) = duplex(1 << 16);
        let server = async {
            // The beginning of HTTP/2's settings.
            there.write_all(&[0, 0, 0x24, 4, 0, 0, 0, 0, 0]).await?;
            let mut sent = vec![0; 3];
            there.read_exact(&mut sent).await?;
            io::Result::Ok(sent)
        };
        let (joined, sent) = tokio::join!(worker.connect(here), server);
        assert_eq!(sent.unwrap()[..2], [0x16, 3], "the beginning of a TLS handshake");
        assert!(matches!(joined, Err(WorkerRefusal::Plain)), "{joined:?}");
    });
}

#[test]
fn what_strangers_send_is_named() {
    let house = House::new();
    let refused = |bytes: &'static [u8]| {
        let side = house.side();
        runtime().block_on(async move {
            let (mut here, there): (DuplexStream, DuplexStream) = duplex(1 << 16);
            here.write_all(bytes).await.unwrap();
            let accepted = side.accept(there).await.map(drop).unwrap_err();
            let mut answer = Vec::new();
            here.read_to_end(&mut answer).await.unwrap();
            (accepted, answer)
        })
    };
    let (why, answer) = refused(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert!(matches!(why, PeerRefusal::Plain), "{why:?}");
    assert_eq!(answer.first(), Some(&0x15), "an alert of TLS: {answer:?}");
    let (why, _) = refused(b"GET / HTTP/1.1\r\n\r\n");
    assert!(matches!(why, PeerRefusal::Plain), "{why:?}");
}
