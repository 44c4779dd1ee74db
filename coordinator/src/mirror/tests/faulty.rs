//! A store that fails, cuts, lies or hangs at one of its requests.

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, UploadPart,
};
use std::fmt::{self, Display};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// What happens at a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It fails, and nothing is done.
    Fails,
    /// It is done, and its answer is lost.
    LosesAnswer,
    /// It and all later ones fail: the coordinator is gone.
    Dies,
    /// It is done, and all later ones fail.
    DiesAfter,
    /// Half of the bytes are written, and it is said to be done.
    Cuts,
    /// All requests hang until they are released.
    Hangs,
    /// No condition is ever asked for.
    Creates,
    /// No version is ever asked for.
    Replaces,
    /// Other bytes are read than were written, of the same number.
    Lies,
}

/// The store.
#[derive(Clone, Debug)]
pub(super) struct Faulty {
    inner: Arc<dyn ObjectStore>,
    fault: Fault,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Number of the request at which it happens, from 1 on; 0 for none.
    at: AtomicUsize,
    requests: AtomicUsize,
    is_released: AtomicBool,
}

impl Faulty {
    pub(super) fn new(inner: &Arc<dyn ObjectStore>, fault: Fault, at: usize) -> Self {
        let state = State { at: AtomicUsize::new(at), ..State::default() };
        Self { inner: Arc::clone(inner), fault, state: Arc::new(state) }
    }

    pub(super) fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::new(self.clone())
    }

    /// Whether it has happened.
    pub(super) fn has_struck(&self) -> bool {
        self.state.requests.load(Ordering::SeqCst) >= self.state.at.load(Ordering::SeqCst)
    }

    /// Has it happen from the next request on.
    pub(super) fn strike(&self) {
        self.state.at.store(self.state.requests.load(Ordering::SeqCst) + 1, Ordering::SeqCst);
    }

    /// Ends the hanging.
    pub(super) fn release(&self) {
        self.state.is_released.store(true, Ordering::SeqCst);
    }

    /// Counts a request; what happens at it, before it is done.
    async fn before(&self) -> Result<Option<Fault>> {
        let number = self.state.requests.fetch_add(1, Ordering::SeqCst) + 1;
        let at = self.state.at.load(Ordering::SeqCst);
        if at == 0 || number < at {
            return Ok(None);
        }
        match self.fault {
            Fault::Fails if number == at => Err(broken()),
            Fault::Dies => Err(broken()),
            Fault::DiesAfter if number > at => Err(broken()),
            Fault::Hangs => {
                while !self.state.is_released.load(Ordering::SeqCst) {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Ok(None)
            }
            fault @ (Fault::LosesAnswer | Fault::Cuts) => Ok((number == at).then_some(fault)),
            fault => Ok(Some(fault)),
        }
    }
}

fn broken() -> Error {
    Error::Generic { store: "faulty", source: "the connection was cut\u{1b}[31m".into() }
}

impl Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("faulty")
    }
}

fn after<T>(done: Result<T>, fault: Option<Fault>) -> Result<T> {
    if fault == Some(Fault::LosesAnswer) { Err(broken()) } else { done }
}

fn half(payload: &PutPayload) -> PutPayload {
    let bytes: Vec<u8> = payload.iter().flatten().copied().collect();
    bytes[..bytes.len() / 2].to_vec().into()
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(&self, path: &Path, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        let fault = self.before().await?;
        match fault {
            Some(Fault::Creates) if options.mode == PutMode::Create => options.mode = PutMode::Overwrite,
            Some(Fault::Replaces) if matches!(options.mode, PutMode::Update(_)) => {
                options.mode = PutMode::Overwrite;
            }
            _ => {}
        }
        // A lock that is cut is named by the next start: there is a test of that.
        let is_cut = fault == Some(Fault::Cuts) && path.filename() != Some("lock.json");
        let payload = if is_cut { half(&payload) } else { payload };
        after(self.inner.put_opts(path, payload, options).await, fault)
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let fault = self.before().await?;
        let upload = after(self.inner.put_multipart_opts(path, options).await, fault)?;
        Ok(Box::new(FaultyUpload { upload, of: self.clone() }))
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        let fault = self.before().await?;
        let mut got = after(self.inner.get_opts(path, options).await, fault)?;
        if matches!(fault, Some(Fault::Lies | Fault::Cuts)) {
            let range = got.range.clone();
            let meta = got.meta.clone();
            let mut bytes = got.bytes().await?.to_vec();
            if fault == Some(Fault::Lies) {
                bytes.iter_mut().for_each(|byte| *byte ^= 1);
            } else {
                bytes.truncate(bytes.len() / 2);
            }
            let stream = futures_util::stream::once(async { Ok(bytes.into()) }).boxed();
            let payload = GetResultPayload::Stream(stream);
            let (attributes, extensions) = Default::default();
            got = GetResult { payload, meta, range, attributes, extensions };
        }
        Ok(got)
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        let delete = move |path: Result<Path>| {
            let this = this.clone();
            async move {
                let fault = this.before().await?;
                let path = futures_util::stream::once(async { path }).boxed();
                let done = this.inner.delete_stream(path).next().await;
                after(done.unwrap_or_else(|| Err(broken())), fault)
            }
        };
        paths.then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (this, all) = (self.clone(), self.inner.list(prefix));
        let listed = async move {
            match this.before().await.and_then(|fault| after(Ok(()), fault)) {
                Err(error) => futures_util::stream::once(async { Err(error) }).boxed(),
                Ok(()) => all,
            }
        };
        futures_util::stream::once(listed).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[derive(Debug)]
struct FaultyUpload {
    upload: Box<dyn MultipartUpload>,
    of: Faulty,
}

#[async_trait]
impl MultipartUpload for FaultyUpload {
    fn put_part(&mut self, payload: PutPayload) -> UploadPart {
        let of = self.of.clone();
        let part = self.upload.put_part(payload);
        Box::pin(async move {
            let fault = of.before().await?;
            after(part.await, fault)
        })
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let fault = self.of.before().await?;
        after(self.upload.complete().await, fault)
    }

    async fn abort(&mut self) -> Result<()> {
        self.of.before().await?;
        self.upload.abort().await
    }
}

/// An empty store in memory.
pub(super) fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}
