use super::*;
use crate::data::digits::SPEC;
use crate::model::activation::Activation;
use crate::model::infer::{KERNEL_MAX, OUTPUTS_MAX};
use crate::model::layer::{Convolution, Window};
use proptest::prelude::*;

fn parameters(text: &str) -> usize {
    Architecture::parse(SPEC, text).unwrap().layout().len()
}

fn refusal(text: &str) -> String {
    Architecture::parse(SPEC, text).unwrap_err().to_string()
}

#[test]
fn parameter_counts_are_those_of_the_same_modules_in_pytorch() {
    assert_eq!(parameters("cnn"), 93_322);
    assert_eq!(parameters("linear"), 7_850);
    assert_eq!(parameters("mlp(512,256)"), 784 * 512 + 512 + 512 * 256 + 256 + 2_570);
    assert_eq!(parameters("flatten layernorm dense"), 2 * 784 + 7_850);
    // The running statistics of 7 + 6 + 2 normalisations are no parameters in PyTorch's sense.
    let resnet = Architecture::parse(SPEC, "resnet").unwrap();
    assert_eq!(resnet.layout().trained(), 174_970);
    assert!(parameters("tiny") <= 9_000);
}

#[test]
fn shapes_follow_strides_padding_and_branches() {
    let text = "conv(8,3,padding=1) residual conv(8,3,stride=2,padding=1,groups=4,bias=false) shortcut maxpool(2) add \
                avgpool(3,stride=2) globalavgpool dense";
    let network = Architecture::parse(SPEC, text).unwrap();
    let shapes: Vec<String> = network.shapes().iter().map(ToString::to_string).collect();
    let expected = [
        "28x28x1",
        "28x28x8",
        "28x28x8",
        "14x14x8",
        "28x28x8",
        "14x14x8",
        "14x14x8",
        "6x6x8",
        "8 values",
        "10 values",
    ];
    assert_eq!(shapes, expected);
    assert_eq!(network.layout().len(), (9 * 8 + 8) + 9 * 2 * 8 + (8 * 10 + 10));
}

#[test]
fn a_name_and_its_layers_are_one_network() {
    let layers =
        "conv(32,3) relu maxpool(2) conv(64,3) relu maxpool(2) conv(64,3) relu flatten dense(64) relu dense";
    assert_eq!("cnn".parse::<Layers>(), layers.parse());
    assert_eq!(layers.parse::<Layers>().unwrap().short_name(), "cnn");
    assert_eq!("flatten dense(8) relu dense".parse::<Layers>().unwrap().short_name(), "mlp(8)");
    assert_eq!("mlp".parse::<Layers>(), "mlp(512,256)".parse());
    assert_eq!("resnet".parse::<Layers>(), "resnet(2)".parse());
    assert_eq!("resnet(3)".parse::<Layers>().unwrap().short_name(), "resnet(3)");
    assert_eq!("flatten relu dense".parse::<Layers>().unwrap().short_name(), "flatten relu dense");
}

#[test]
fn every_named_network_fits_the_digits_and_keeps_its_name() {
    for named in zoo::ALL {
        let network = Architecture::parse(SPEC, named.name).unwrap();
        assert_eq!(network.layers().short_name(), named.name);
    }
}

#[test]
fn tensors_are_counted_by_kind() {
    let network = Architecture::parse(SPEC, "conv(2,3) gelu layernorm conv(3,3) flatten dense").unwrap();
    let names: Vec<_> = network.layout().iter().map(|(tensor, _)| tensor.name.clone()).collect();
    let expected = ["conv1", "conv2", "fc1", "norm1"]
        .map(|name| [".bias", ".weight"].map(|part| name.to_owned() + part));
    assert_eq!(names, expected.concat());
}

#[test]
fn a_wrong_network_is_refused_by_layer_and_shape() {
    for (text, message) in [
        (
            "conv(8,3) dense",
            "layer 2, dense on 26x26x8: it needs a vector: put flatten or globalavgpool before it",
        ),
        ("flatten conv(8,3)", "layer 2, conv(8,3) on 784 values: it needs an image"),
        ("maxpool(14) conv(4,3) flatten dense", "layer 2, conv(4,3) on 2x2x1: its window does not fit"),
        ("maxpool(15) maxpool(2) flatten dense", "layer 2, maxpool(2) on 1x1x1: its window does not fit"),
        ("flatten dense(9)", "the last layer gives 9 values, and there are 10 classes"),
        ("flatten", "the last layer gives 784 values"),
        ("conv(0,3) flatten dense", "its outputs must be 1 to"),
        ("conv(1,99) flatten dense", "its kernel must be 1 to"),
        ("maxpool(1) flatten dense", "its window must be 2 to"),
        ("flatten dense(0)", "its outputs must be 1 to"),
        ("flatten dence", "layer 2: \"dence\" is not known; there are conv("),
        ("conv(3) flatten dense", "layer 1: conv takes OUTPUTS,KERNEL"),
        ("relu(3)", "layer 1: relu takes no settings"),
        ("layernorm flatten dense", "layer 1, layernorm on 28x28x1: it normalises"),
        ("conv(4,3,stride=0) flatten dense", "its stride must be 1 to"),
        ("conv(4,3,padding=99) flatten dense", "its padding must be 0 to"),
        ("conv(4,3,groups=2) flatten dense", "1 channels can't be divided into 2 groups"),
        ("conv(4,3) conv(6,3,groups=4) flatten dense", "6 channels can't be divided into 4 groups"),
        ("conv(4,3,bias=2) flatten dense", "\"2\" is not a value for bias"),
        ("conv(4,3,3) flatten dense", "conv takes OUTPUTS,KERNEL and, if set, stride="),
        ("avgpool(2,padding=1) flatten dense", "avgpool takes WINDOW and, if set, stride="),
        ("conv(4,3) groupnorm(3) flatten dense", "4 channels can't be divided into 3 groups"),
        ("flatten groupnorm(784) dense", "here that is a single value"),
        ("flatten globalavgpool dense", "it needs an image, and gets a vector"),
        ("dropout(1) flatten dense", "dropout takes a rate, at least 0 and below 1"),
        ("leaky_relu(2) flatten dense", "leaky_relu takes nothing, or a slope from 0 to 1"),
        (
            "residual conv(4,3) add flatten dense",
            "layer 3, add on 26x26x4: its branches give 26x26x4 and 28x28x1",
        ),
        ("flatten add dense", "layer 2, add on 784 values: no residual before it is open"),
        ("shortcut flatten dense", "layer 1, shortcut on 28x28x1: no residual before it is open"),
        ("residual shortcut shortcut add flatten dense", "its residual has a shortcut already"),
        ("flatten residual relu dense", "layer 2, residual, has no add behind it"),
        ("resnet(9)", "resnet takes the blocks of a stage, 1 to 6"),
        ("cnn(3)", "cnn takes no settings"),
        ("mlp(wide)", "mlp takes the widths of its hidden layers"),
        ("", "a network has 1 to 256 layers, got 0"),
    ] {
        let got = refusal(text);
        assert!(got.contains(message), "{text}: {got}");
    }
}

#[test]
fn what_a_peer_could_announce_is_bounded() {
    let wide = OUTPUTS_MAX;
    assert!(refusal(&format!("flatten dense({wide}) dense({wide}) dense")).contains("parameters"));
    assert!(refusal(&format!("conv({wide},1) flatten dense")).contains("values between layers"));
    assert!(refusal(&"relu ".repeat(LAYERS_MAX + 1)).contains("layers"));
    assert!(refusal(&"x".repeat(TEXT_BYTES_MAX + 1)).contains("bytes"));
    assert!(refusal(&format!("mlp({wide}0,1)")).contains("outputs"));
}

fn any_layer() -> impl Strategy<Value = Layer> {
    let window = || (2..KERNEL_MAX, 1..KERNEL_MAX).prop_map(|(window, stride)| Window { window, stride });
    let conv = (1..OUTPUTS_MAX, 1..KERNEL_MAX, 1..KERNEL_MAX, 0..KERNEL_MAX, 1..9usize, proptest::bool::ANY);
    let settings = (0.0..1.0f32).prop_flat_map(|share| {
        let slope = Layer::Activation(Activation::LeakyRelu { slope: share });
        proptest::sample::select(vec![Layer::Dropout { rate: share }, slope])
    });
    let plain = "flatten relu leaky_relu gelu silu tanh sigmoid batchnorm layernorm globalavgpool residual shortcut add";
    let plain: Vec<Layer> = plain.split(' ').map(|name| name.parse().unwrap()).collect();
    prop_oneof![
        conv.prop_map(|(outputs, kernel, stride, padding, groups, bias)| {
            Layer::Conv(Convolution { outputs, kernel, stride, padding, groups, bias })
        }),
        window().prop_map(Layer::MaxPool),
        window().prop_map(Layer::AvgPool),
        proptest::option::of(1..OUTPUTS_MAX).prop_map(|outputs| Layer::Dense { outputs }),
        (1..OUTPUTS_MAX).prop_map(|groups| Layer::GroupNorm { groups }),
        settings,
        proptest::sample::select(plain),
    ]
}

proptest! {
    #[test]
    fn what_is_shown_is_parsed(layers in proptest::collection::vec(any_layer(), 1..20)) {
        let layers = Layers::new(layers).unwrap();
        prop_assert_eq!(layers.to_string().parse(), Ok(layers.clone()));
        prop_assert_eq!(layers.short_name().parse(), Ok(layers));
    }

    #[test]
    fn any_list_of_layers_is_a_network_or_refused(layers in proptest::collection::vec(any_layer(), 1..20)) {
        let _ = Architecture::new(SPEC, Layers::new(layers).unwrap());
    }

    #[test]
    fn any_text_is_parsed_or_refused(text in "[a-z(),0-9 ]{0,60}") {
        let _ = Architecture::parse(SPEC, &text);
    }
}
