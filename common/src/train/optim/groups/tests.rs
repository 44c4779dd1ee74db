use super::*;
use crate::data::digits::SPEC;
use crate::model::architecture::Architecture;

fn partition(text: &str) -> Result<Partition, GroupError> {
    let model = Architecture::parse(SPEC, "conv(2,3) relu flatten dense(3) relu dense").unwrap();
    text.parse::<Groups>()?.partition(model.layout(), Decayed::All)
}

#[test]
fn the_first_group_that_matches_is_a_tensors_own() {
    let parts = partition("conv*(frozen) *.bias(lr_factor=2,weight_decay=0)").unwrap();
    let bias = Treatment::Trained { lr_factor: 2.0, weight_decay: Some(0.0), masked: false };
    let treatments: Vec<_> = parts.ranges().map(|(_, treatment)| treatment).collect();
    let frozen = Treatment::Frozen;
    let plain = Treatment::DEFAULT;
    assert_eq!(treatments, [frozen, bias, plain, bias, plain]);
    assert!(parts.of(frozen).eq(std::iter::once(0..20)));
    let ends: Vec<usize> = parts.ranges().map(|(range, _)| range.start).chain([parts.len()]).collect();
    assert!(ends.is_sorted() && ends[0] == 0, "no gaps: {ends:?}");
}

#[test]
fn what_is_frozen_stands_before_all_other_groups() {
    let groups: Groups = "*.bias(lr_factor=2)".parse().unwrap();
    let frozen = groups.clone().behind_frozen(&"conv* fc1.bias".parse().unwrap());
    assert_eq!(frozen.to_string(), "conv*(frozen) fc1.bias(frozen) *.bias(lr_factor=2)");
    let first = Groups::default().behind_frozen(&"conv*".parse().unwrap());
    assert!(frozen.begin_with(&first) && !groups.begin_with(&first));
}

#[test]
fn groups_that_do_nothing_or_too_much_are_refused() {
    for (text, message) in [
        ("cnv*(frozen)", "cnv* matches no tensor"),
        ("*(frozen)", "all tensors are frozen"),
        ("conv*(frozen) conv1.bias(lr_factor=2)", "conv1.bias matches no tensor that an earlier"),
        ("conv*", "conv* takes frozen, or"),
        ("conv*(hot)", "conv* takes frozen, or"),
        ("conv*(lr_factor=-1)", "lr_factor is -1"),
        ("conv*(weight_decay=NaN)", "weight_decay is NaN"),
    ] {
        let error = partition(text).unwrap_err().to_string();
        assert!(error.contains(message), "{text}: {error}");
    }
    assert_eq!(partition("none").unwrap().ranges().count(), 1);
}

#[test]
fn biases_and_norms_are_spared_unless_a_group_decays_them() {
    let model = Architecture::parse(SPEC, "conv(2,3) batchnorm flatten dense").unwrap();
    let layout = model.layout();
    let decays = |text: &str, decayed| {
        let groups: Groups = text.parse().unwrap();
        let parts = groups.partition(layout, decayed).unwrap();
        let at = |name: &str| layout.find(name).unwrap().1.start;
        let decay_of = |name: &str| {
            let (_, treatment) = parts.ranges().find(|(range, _)| range.contains(&at(name))).unwrap();
            let Treatment::Trained { lr_factor, weight_decay, .. } = treatment else { panic!("{name}") };
            (lr_factor, weight_decay)
        };
        let names = ["conv1.weight", "conv1.bias", "bn1.weight", "bn1.bias", "fc1.weight", "fc1.bias"];
        (names.map(decay_of), groups.spared(layout))
    };
    let none = (1.0, Some(0.0));
    let own = (1.0, None);
    assert_eq!(decays("none", Decayed::All), ([own; 6], 4));
    assert_eq!(decays("none", Decayed::Weights), ([own, none, none, none, own, none], 4));
    let groups = "fc1.bias(weight_decay=0.5) bn1*(lr_factor=2) conv1.weight(weight_decay=0.25)";
    let (chosen, slow) = ((1.0, Some(0.5)), (2.0, Some(0.0)));
    let expected = [(1.0, Some(0.25)), none, slow, slow, own, chosen];
    assert_eq!(decays(groups, Decayed::Weights), (expected, 3));
}

#[test]
fn running_statistics_belong_to_no_group() {
    let model = Architecture::parse(SPEC, "conv(2,3) batchnorm flatten dense").unwrap();
    let partition = |text: &str| text.parse::<Groups>().unwrap().partition(model.layout(), Decayed::All);
    let parts = partition("bn*(frozen)").unwrap();
    let names = ["bn1.running_mean", "bn1.running_var"];
    let expected = names.map(|name| model.layout().find(name).unwrap().1);
    assert!(parts.of(Treatment::Running).eq(std::iter::once(expected[0].start..expected[1].end)));
    assert!(partition("*running*(frozen)").unwrap_err().to_string().contains("matches no tensor"));
    assert_eq!(partition("*(frozen)"), Err(GroupError::AllFrozen));
}
