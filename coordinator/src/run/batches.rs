//! The leaves of each round, and their samples. The next step's samples are prefetched.
//!
//! Between a step's last answer and the next step's pieces every worker is idle. Collecting samples from all
//! over a large data set takes most of that time. So the driver prefetches them while the workers compute
//! ([`Leaves::prefetch`]). `common::data::sampler` and
//! `common::data::split` decide which samples they are.

use crate::run::unlabelled::{Unlabelled, without_labels};
use crate::run::work::Work;
use common::data::sampler::{Plan, Position, leaf_of, leaves_of};
use common::data::samples::Samples;
use common::data::split::Split;
use common::ids::{Epoch, Leaf, Step};
use common::train::config::{RunConfig, TrainingConfig};
use common::train::objective::ClassWeights;
use common::train::pseudo::PseudoLabels;

/// Largest size of a step's prefetched samples, in bytes: a step of 10,000 small images.
const PREFETCH_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The data, and its division into rounds.
#[derive(Debug)]
pub(crate) struct Leaves {
    plan: Plan,
    split: Split,
    /// The samples that are learned from without their labels, if there are some.
    unlabelled: Option<Unlabelled>,
    seed: u64,
    micro_batch: u32,
    train: Samples,
    test: Samples,
    /// Indices of the data set in the order of one epoch, drawn when it is first needed.
    order: Option<(Epoch, Vec<u32>)>,
    /// Prefetched leaves of the present and the next step, each from its first leaf on.
    prefetched: [(Step, Vec<Samples>); 2],
}

impl Leaves {
    pub(crate) fn new(config: &RunConfig, train: Samples, test: Samples) -> Self {
        let TrainingConfig { val_split, per_class, self_training, batch_size, micro_batch, seed, .. } =
            *config.training();
        let mut split = Split::draw(train.labels(), val_split, seed);
        if let Some(count) = per_class {
            let few = split.with_few(train.labels(), train.spec().classes(), count, seed);
            split = few.expect("a run's start has counted each class");
        }
        Self {
            plan: Plan::new(config.train_samples(), batch_size, micro_batch, seed),
            unlabelled: self_training.map(|settings| Unlabelled::new(settings, &split, train.labels())),
            split,
            seed,
            micro_batch,
            train,
            test,
            order: None,
            prefetched: Default::default(),
        }
    }

    /// Epoch of a step, and its position there.
    pub(crate) fn position(&self, step: Step) -> Position {
        self.plan.position(step)
    }

    pub(crate) fn has_validation(&self) -> bool {
        !self.split.validation.is_empty()
    }

    /// Whether unlabelled samples have to be guessed before that epoch's first step.
    pub(crate) fn lack_labels(&self, epoch: Epoch) -> bool {
        self.unlabelled.as_ref().is_some_and(|unlabelled| unlabelled.lack_labels(epoch))
    }

    /// Takes an epoch's labels of the unlabelled samples.
    pub(crate) fn set_labels(&mut self, epoch: Epoch, labels: &PseudoLabels) {
        self.forget_labels();
        self.unlabelled.iter_mut().for_each(|unlabelled| unlabelled.set(epoch, &self.split, labels));
    }

    /// Forgets all labels of unlabelled samples, and what has been gathered of them.
    pub(crate) fn forget_labels(&mut self) {
        if let Some(unlabelled) = &mut self.unlabelled {
            unlabelled.forget();
            self.order = None;
            self.prefetched = Default::default();
        }
    }

    /// The labels of the unlabelled samples in that epoch, if they are there.
    pub(crate) fn labels(&self, epoch: Epoch) -> Option<Vec<u16>> {
        self.unlabelled.as_ref()?.of(epoch, &self.split)
    }

    /// The labels that the unlabelled samples have in the data set.
    pub(crate) fn true_labels(&self) -> impl Iterator<Item = &u16> {
        self.split.rest.iter().map(|&at| &self.train.labels()[at as usize])
    }

    /// The test samples.
    pub(crate) fn test(&self) -> &Samples {
        &self.test
    }

    /// Number of leaves in a round; `step` is the next step.
    pub(crate) fn count(&self, work: Work, step: Step) -> u32 {
        match work {
            Work::Train => self.plan.leaves(step),
            Work::Validate(_) | Work::Test(_) | Work::TestViews(_) | Work::Guess(_) => {
                leaves_of(self.samples(work, step) as u32, self.micro_batch)
            }
        }
    }

    /// Number of samples in a leaf of a round.
    pub(crate) fn samples_of(&self, work: Work, step: Step, leaf: Leaf) -> u64 {
        leaf_of(self.samples(work, step) as u32, self.micro_batch, leaf).len() as u64
    }

    fn samples(&self, work: Work, step: Step) -> usize {
        match work {
            Work::Train => self.plan.step_range(step).len(),
            Work::Validate(_) => self.split.validation.len(),
            Work::Test(_) | Work::TestViews(_) => self.test.len(),
            Work::Guess(_) => self.split.rest.len(),
        }
    }

    /// Sum of the weights of a step's samples.
    pub(crate) fn weight(&mut self, step: Step, weights: &ClassWeights) -> f64 {
        let range = self.plan.step_range(step);
        self.draw_order(step);
        let order = self.order.as_ref().map_or(&[][..], |(_, order)| order);
        let samples = &order[range.start as usize..range.end as usize];
        let label = |at: u32| match &self.unlabelled {
            Some(unlabelled) => unlabelled.label(at),
            None => self.train.labels()[at as usize],
        };
        samples.iter().map(|&at| f64::from(weights.of(label(at)))).sum()
    }

    /// Samples of a leaf.
    pub(crate) fn get(&mut self, work: Work, step: Step, leaf: Leaf) -> Samples {
        match work {
            Work::Train => {
                let at_hand = self.prefetched.iter().find(|(of, _)| *of == step);
                let at_hand = at_hand.and_then(|(_, leaves)| leaves.get(leaf.0 as usize)).cloned();
                at_hand.unwrap_or_else(|| self.gather(step, leaf))
            }
            Work::Validate(_) => {
                let held = &self.split.validation;
                let range = leaf_of(held.len() as u32, self.micro_batch, leaf);
                self.train.gather(&held[range.start as usize..range.end as usize])
            }
            Work::Test(_) | Work::TestViews(_) => {
                let range = leaf_of(self.test.len() as u32, self.micro_batch, leaf);
                self.test.gather(&range.collect::<Vec<u32>>())
            }
            Work::Guess(_) => {
                let rest = &self.split.rest;
                let range = leaf_of(rest.len() as u32, self.micro_batch, leaf);
                without_labels(&self.train, &rest[range.start as usize..range.end as usize])
            }
        }
    }

    /// Whether a leaf of `step` is left to prefetch. A step of another epoch has to wait for that epoch's
    /// order.
    pub(crate) fn can_prefetch(&self, step: Step) -> bool {
        self.next_to_prefetch(step).is_some()
    }

    /// Prefetches one more leaf of `step`, if one is left.
    pub(crate) fn prefetch(&mut self, step: Step) {
        let Some(leaf) = self.next_to_prefetch(step) else { return };
        if self.prefetched.iter().all(|(of, _)| *of != step) {
            self.prefetched.swap(0, 1);
            self.prefetched[1] = (step, Vec::new());
        }
        let at = usize::from(self.prefetched[1].0 == step);
        let samples = self.gather(step, leaf);
        self.prefetched[at].1.push(samples);
    }

    fn next_to_prefetch(&self, step: Step) -> Option<Leaf> {
        let epoch = self.plan.position(step).epoch;
        let is_drawn = self.order.as_ref().is_some_and(|&(drawn, _)| drawn == epoch);
        let at_hand = self.prefetched.iter().find(|(of, _)| *of == step);
        let next = at_hand.map_or(0, |(_, leaves)| leaves.len());
        let bytes = (next + 1) * self.micro_batch as usize * self.train.spec().image_bytes();
        let is_left = next < self.plan.leaves(step) as usize && bytes <= PREFETCH_BYTES_MAX;
        (is_drawn && is_left).then_some(Leaf(next as u32))
    }

    fn gather(&mut self, step: Step, leaf: Leaf) -> Samples {
        let range = self.plan.leaf_range(step, leaf);
        self.draw_order(step);
        let order = self.order.as_ref().map_or(&[][..], |(_, order)| order);
        let indices = &order[range.start as usize..range.end as usize];
        match &self.unlabelled {
            Some(unlabelled) => unlabelled.gather(&self.train, indices),
            None => self.train.gather(indices),
        }
    }

    /// Draws the order of the step's epoch, unless it is at hand.
    fn draw_order(&mut self, step: Step) {
        let epoch = self.plan.position(step).epoch;
        if self.order.as_ref().is_none_or(|&(drawn, _)| drawn != epoch) {
            let order = self.plan.order(epoch).into_iter();
            let order: Vec<u32> = match &self.unlabelled {
                Some(unlabelled) => {
                    let places = unlabelled.places(epoch, &self.split, self.seed);
                    order.map(|at| places[at as usize]).collect()
                }
                None => order.map(|at| self.split.train[at as usize]).collect(),
            };
            self.order = Some((epoch, order));
        }
    }
}
