use super::*;
use common::checkpoint::Origin;
use common::data::classes::ClassNames;
use common::data::normalize::Normalization;
use common::data::spec::DataSpec;
use common::model::architecture::Architecture;
use common::model::params::Role;

/// A model whose tensors all have values of their own, running statistics too.
pub(crate) fn model(channels: usize, layers: &str, normalize: &str) -> Model {
    let spec = DataSpec::new(12, 12, channels, 4).unwrap();
    let architecture = Architecture::parse(spec, layers).unwrap_or_else(|error| panic!("{layers}: {error}"));
    let mut stream = Stream::new(1, "weights", &[]);
    let mut params = vec![0.0; architecture.layout().len()];
    for (spec, range) in architecture.layout().iter() {
        // A variance is above 0.
        let low = if spec.role == Role::Running { 0.1 } else { -0.5 };
        params[range].fill_with(|| stream.between(low, 0.5));
    }
    let normalization: Normalization = normalize.parse().unwrap();
    let classes = ClassNames::numbers(4);
    Model { architecture, params, normalization, classes, origin: Origin::default() }
}

/// Networks that have every kind of layer between them.
pub(super) const NETWORKS: [&str; 5] = [
    "conv(8,3) relu maxpool(2) conv(6,3,padding=1,stride=2) leaky_relu(0.2) flatten dense(7) tanh dense",
    "conv(6,3,groups=1,bias=false) batchnorm gelu avgpool(3,stride=2) dropout(0.5) flatten dense(9) sigmoid dense",
    "conv(6,3,padding=1) residual conv(6,3,padding=1,groups=3) groupnorm(2) silu add globalavgpool dense",
    "conv(6,3) residual conv(8,3,stride=2,padding=1) layernorm shortcut conv(8,1,stride=2) add \
     maxpool(3,stride=1) flatten dense(6) layernorm relu dense(6) batchnorm dense(4) groupnorm(2) dense",
    "flatten dense",
];

#[test]
fn onnx_computes_the_models_logits_for_every_kind_of_layer() {
    for (at, layers) in NETWORKS.iter().enumerate() {
        let standard = "standard(mean=0.5 0.3,deviation=0.25 0.5)";
        let model = model(1 + at % 2, layers, if at % 2 == 1 { standard } else { "unit" });
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.onnx");
        let written = write(&model, Format::Onnx, &path).unwrap_or_else(|error| panic!("{layers}: {error}"));
        assert!(written.checked.contains("largest difference"), "{}", written.checked);
        let before = std::fs::read(&path).unwrap();
        write(&model, Format::Onnx, &path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), before, "the same model gives the same file");
    }
}

#[test]
fn a_graph_of_other_weights_is_refused() {
    let model = model(1, NETWORKS[0], "unit");
    let (_, expected) = checked_logits(&model).unwrap();
    let mut got = expected.clone();
    got[5] += 1e-2;
    assert!(matches!(compared(&expected, &got, DIFFERENCE_MAX), Err(ExportError::Differs { .. })));
    got[5] = f32::NAN;
    assert!(matches!(compared(&expected, &got, DIFFERENCE_MAX), Err(ExportError::Differs { .. })));
    assert!(matches!(compared(&expected, &got[1..], DIFFERENCE_MAX), Err(ExportError::ReadBack(_))));
    assert!(compared(&expected, &expected, DIFFERENCE_MAX).is_ok());
}

#[test]
fn a_file_has_the_permissions_that_any_new_file_has() {
    let folder = tempfile::tempdir().unwrap();
    let [plain, exported] = ["plain", "exported"].map(|name| folder.path().join(name));
    std::fs::write(&plain, "").unwrap();
    write(&model(1, "flatten dense", "unit"), Format::Npz, &exported).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&exported), mode(&plain));
}

#[test]
fn a_file_of_another_kind_is_not_replaced() {
    let model = model(1, "flatten dense", "unit");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("thesis");
    std::fs::write(&path, "years of work").unwrap();
    for format in Format::value_variants() {
        let error = write(&model, *format, &path).unwrap_err();
        assert!(matches!(error, ExportError::Other(_)), "{error}");
        let error = write(&model, *format, folder.path()).unwrap_err();
        assert!(matches!(error, ExportError::Other(_)), "{error}");
        let new = folder.path().join("new");
        write(&model, *format, &new).unwrap();
        write(&model, *format, &new).unwrap();
        std::fs::remove_file(new).unwrap();
    }
    assert_eq!(std::fs::read(&path).unwrap(), b"years of work");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_module_says_what_has_to_be_known_to_feed_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("network.py");
    write(
        &model(3, "flatten dense", "standard(mean=0.5 0.25 0.125,deviation=0.25 0.125 1)"),
        Format::PytorchModule,
        &path,
    )
    .unwrap();
    let source = std::fs::read_to_string(&path).unwrap();
    for line in [
        "class Network(nn.Module):",
        "LAYERS = \"flatten dense\"",
        "MEAN = [0.5,0.25,0.125]",
        "DEVIATION = [0.25,0.125,1.0]",
    ] {
        assert!(source.contains(&format!("\n{line}\n")), "{line} is not in: {source}");
    }
    assert!(source.contains("\nINPUT = [3,") && source.contains("\nCLASSES = [\""), "{source}");
}
