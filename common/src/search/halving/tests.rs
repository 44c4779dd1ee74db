use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

type Results = BTreeMap<(usize, u32), Outcome>;
/// A rung's number, and its trials.
type Rung = (usize, Vec<u32>);

fn known(results: &Results) -> impl Fn(usize, u32) -> Option<Outcome> + '_ {
    |rung, trial| results.get(&(rung, trial)).copied()
}

fn validated(correct: u64, loss_sum: f64) -> Outcome {
    Outcome::Validated(Totals { samples: 100, correct, loss_sum })
}

/// Runs a search in which the trial that is next to come to its rung is chosen by `order` among at most
/// `parallel` that are on their way. Returns the winner, the
/// rungs as trials were let in, and the results.
fn search(
    halving: Halving,
    outcome: &impl Fn(usize, u32) -> Outcome,
    parallel: usize,
    mut order: impl FnMut(usize) -> usize,
) -> (Option<u32>, Vec<Rung>, Results) {
    let mut results = Results::new();
    let mut let_in = Vec::new();
    loop {
        let stage = halving.stage(&known(&results));
        match stage {
            Stage::Chosen(winner) => return (winner, let_in, results),
            Stage::Rung { rung, trials, open } => {
                if let_in.last() != Some(&(rung, trials.clone())) {
                    let_in.push((rung, trials));
                }
                let on_their_way = open.len().min(parallel);
                let trial = open[order(on_their_way)];
                assert_eq!(results.insert((rung, trial), outcome(rung, trial)), None, "once each");
            }
        }
    }
}

#[test]
fn nine_trials_become_three_and_one() {
    let halving = Halving { trials: 9, eta: 3, rungs: 3 };
    // At the first rung the middle ones are good, later 5 is overtaken by 4.
    let outcome = |rung: usize, trial: u32| validated(50 - u64::from(trial.abs_diff(5 - rung as u32)), 1.0);
    let (winner, let_in, _) = search(halving, &outcome, 1, |_| 0);
    assert_eq!(let_in, [(0, (0..9).collect()), (1, vec![4, 5, 6]), (2, vec![4])]);
    assert_eq!(winner, Some(4));
}

#[test]
fn equals_are_told_apart_by_loss_and_then_by_number() {
    let halving = Halving { trials: 4, eta: 4, rungs: 2 };
    let loss = [2.0, 1.0, 1.0, 3.0];
    let (winner, ..) = search(halving, &|_, trial| validated(7, loss[trial as usize]), 4, |open| open - 1);
    assert_eq!(winner, Some(1));
}

#[test]
fn what_diverges_does_not_go_on_and_is_replaced_only_where_nothing_is_left() {
    let halving = Halving { trials: 6, eta: 3, rungs: 2 };
    let correct = |trial: u32| u64::from(trial);
    let outcome = |diverge: &'static [(usize, u32)]| {
        move |rung: usize, trial: u32| {
            if diverge.contains(&(rung, trial)) { Outcome::Diverged } else { validated(correct(trial), 1.0) }
        }
    };
    let (winner, let_in, _) = search(halving, &outcome(&[(0, 5), (1, 4)]), 1, |_| 0);
    assert_eq!((winner, let_in[1].1.clone()), (Some(3), vec![3, 4]));
    let (winner, let_in, results) = search(halving, &outcome(&[(0, 5), (1, 4), (1, 3), (1, 2)]), 1, |_| 0);
    assert_eq!(let_in.last(), Some(&(1, vec![1, 2, 3, 4])));
    assert_eq!(winner, Some(1));
    let standings = halving.standings(&known(&results));
    let order: Vec<u32> = standings.iter().map(|standing| standing.trial).collect();
    assert_eq!(order, [1, 0, 4, 3, 2, 5]);
    assert_eq!(search(halving, &|_, _| Outcome::Diverged, 2, |_| 0).0, None);
}

#[test]
fn a_single_trial_is_the_winner() {
    let halving = Halving { trials: 1, eta: 3, rungs: 3 };
    let (winner, let_in, _) = search(halving, &|_, _| validated(1, 1.0), 1, |_| 0);
    assert_eq!((winner, let_in.len()), (Some(0), 3));
}

proptest! {
    #[test]
    fn whoever_is_fast_the_same_trials_go_on(
        trials in 1u32..30,
        eta in 2u32..5,
        rungs in 1usize..5,
        parallel in 1usize..10,
        // Few values, so that there are equals.
        scores in prop::collection::vec((0u64..4, 0u8..3, 0u8..8), 150),
        order in prop::collection::vec(any::<prop::sample::Index>(), 150),
    ) {
        let halving = Halving { trials, eta, rungs };
        let outcome = |rung: usize, trial: u32| {
            let (correct, loss, fate) = scores[rung * 30 + trial as usize];
            if fate == 0 { Outcome::Diverged } else { validated(correct, f64::from(loss)) }
        };
        let in_turn = search(halving, &outcome, 1, |_| 0);
        let mut next = order.iter();
        let mixed = search(halving, &outcome, parallel, |open| next.next().unwrap().index(open));
        prop_assert_eq!(&in_turn, &mixed);
        let (winner, let_in, results) = in_turn;
        prop_assert!(let_in.windows(2).all(|pair| pair[0].0 == pair[1].0 || pair[0].0 + 1 == pair[1].0));
        let standings = halving.standings(&known(&results));
        prop_assert_eq!(standings.len(), trials as usize);
        if let Some(winner) = winner {
            prop_assert_eq!(standings[0].trial, winner);
            prop_assert_eq!(standings[0].reached.unwrap().0, rungs - 1);
        }
    }
}
