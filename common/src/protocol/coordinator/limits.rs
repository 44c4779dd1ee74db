//! What an operator chose about the cluster. Decides nothing.

/// What an operator chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Members that must have joined before the first piece is handed out.
    pub start: u32,
    /// Members below which no piece is handed out.
    pub min: u32,
    /// Members above which a newcomer is refused.
    pub max: u32,
    /// Silence after which a member is dropped, in microseconds.
    pub heartbeat_timeout_us: u64,
}
