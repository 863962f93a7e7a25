"""Capture of ONNX files, sound and unsound."""

import numpy
import onnx
import onnx.parser
import pytest
from onnx import TensorProto, helper, numpy_helper

from workbench.capture import capture_onnx
from workbench.errors import CaptureError, MissingInput, NonFinite, UnsafePath
from workbench.program import read_examples, read_signature

pytest.importorskip("onnxruntime")


def classifier(weight=None, *, external=""):
    """float[n, 4] and int64[n, t] in, two outputs; the weight may lie in a file of its own."""
    model = onnx.parser.parse_model(
        """
        <ir_version: 10, opset_import: ["" : 20], producer_name: "by hand">
        g (float[n, 4] x, int64[n, t] ids) => (float[n, 3] scores, bool[n, t] odd)
        <float[4, 3] w>
        {
            scores = MatMul(x, w)
            two = Constant<value_int = 2>()
            rest = Mod(ids, two)
            odd = Cast<to = 9>(rest)
        }
        """
    )
    array = numpy.arange(12, dtype="float32").reshape(4, 3) if weight is None else weight
    tensor = numpy_helper.from_array(array, "w")
    if external:
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", external), ("offset", "0"), ("length", "48")):
            tensor.external_data.add(key=key, value=value)
    del model.graph.value_info[:]
    del model.graph.initializer[:]
    model.graph.initializer.append(tensor)
    return model


@pytest.fixture
def out(tmp_path):
    (folder := tmp_path / "program").mkdir()
    return folder


def write(tmp_path, model):
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_signature_examples_and_record(tmp_path, out):
    report = capture_onnx(write(tmp_path, classifier()), out)
    assert report.signature == read_signature(out)
    assert [(s.name, s.dtype, s.shape) for s in report.signature.inputs] == [
        ("x", "float32", ("n", 4)),
        ("ids", "int64", ("n", "t")),
    ]
    assert [(s.name, s.dtype, s.shape) for s in report.signature.outputs] == [
        ("scores", "float32", ("n", 3)),
        ("odd", "bool", ("n", "t")),
    ]
    assert report.signature.output_structure == "dict"
    assert (report.parameters, report.dynamic) == (12, ("n", "t"))
    examples = read_examples(out)
    weight = numpy.arange(12, dtype="float32").reshape(4, 3)
    numpy.testing.assert_allclose(examples.outputs["scores"], examples.inputs["x"] @ weight, rtol=1e-5)
    assert "by hand" in (out / "capture.json").read_text()


def test_the_same_file_gives_the_same_bytes(tmp_path, out):
    (other := tmp_path / "other").mkdir()
    path = write(tmp_path, classifier())
    capture_onnx(path, out)
    capture_onnx(path, other)
    for file in out.iterdir():
        assert file.read_bytes() == (other / file.name).read_bytes()


def test_external_weights_are_taken_in(tmp_path, out):
    (tmp_path / "weights.bin").write_bytes(numpy.ones((4, 3), "float32").tobytes())
    capture_onnx(write(tmp_path, classifier(external="weights.bin")), out)
    stored = onnx.load_model(out / "program.onnx", load_external_data=False)
    numpy.testing.assert_array_equal(numpy_helper.to_array(stored.graph.initializer[0]), numpy.ones((4, 3)))


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "link"])
def test_external_weights_elsewhere_are_refused(tmp_path, out, location):
    (tmp_path / "models").mkdir()
    (tmp_path / "secret").write_bytes(bytes(48))
    (tmp_path / "models" / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(UnsafePath, match="leaves its folder"):
        capture_onnx(write(tmp_path / "models", classifier(external=location)), out)


def test_absent_external_weights(tmp_path, out):
    with pytest.raises(MissingInput, match=r"the weights of 'w' are in 'gone.bin', which is not there"):
        capture_onnx(write(tmp_path, classifier(external="gone.bin")), out)


def test_truncated_external_weights(tmp_path, out):
    (tmp_path / "weights.bin").write_bytes(bytes(20))
    with pytest.raises(CaptureError, match="not a valid ONNX model"):
        capture_onnx(write(tmp_path, classifier(external="weights.bin")), out)


@pytest.mark.parametrize("keep", [0, 10, 100, -1])
def test_damaged_files(tmp_path, out, keep):
    path = write(tmp_path, classifier())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(CaptureError, match="not a valid ONNX model") as caught:
        capture_onnx(path, out)
    assert caught.value.where == str(path)


def test_something_else_and_nothing(tmp_path, out):
    (tmp_path / "model.onnx").write_text("<html>404</html>")
    with pytest.raises(CaptureError, match="not a valid ONNX model"):
        capture_onnx(tmp_path / "model.onnx", out)
    with pytest.raises(MissingInput, match="there is no ONNX file"):
        capture_onnx(tmp_path / "gone.onnx", out)


def test_nan_weights(tmp_path, out):
    with pytest.raises(NonFinite, match="the weight 'w' holds NaN or Inf"):
        capture_onnx(write(tmp_path, classifier(numpy.full((4, 3), numpy.nan, "float32"))), out)


def test_an_invalid_graph(tmp_path, out):
    model = classifier()
    model.graph.node[0].op_type = "NoSuchOperator"
    with pytest.raises(CaptureError, match="NoSuchOperator"):
        capture_onnx(write(tmp_path, model), out)


def test_inputs_that_requests_cannot_carry(tmp_path, out):
    value = helper.make_tensor_value_info("text", TensorProto.STRING, ["n"])
    result = helper.make_tensor_value_info("same", TensorProto.STRING, ["n"])
    graph = helper.make_graph([helper.make_node("Identity", ["text"], ["same"])], "g", [value], [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    with pytest.raises(CaptureError, match=r"'text' is a tensor\(string\)"):
        capture_onnx(write(tmp_path, model), out)


def test_unnamed_sizes_get_names_and_a_size_the_model_takes(tmp_path, out):
    model = onnx.parser.parse_model(
        """
        <ir_version: 10, opset_import: ["" : 20]>
        g (float[?, 1, ?, ?] image) => (float[?, 1, ?, ?] small)
        { small = AveragePool<kernel_shape = [20, 20]>(image) }
        """
    )
    report = capture_onnx(write(tmp_path, model), out)
    assert report.signature.inputs[0].shape == ("batch", 1, "image_2", "image_3")
    assert report.signature.outputs[0].shape[1] == 1
    assert len(report.signature.outputs[0].shape) == 4
    assert read_examples(out).inputs["image"].shape == (2, 1, 32, 32)


@pytest.mark.parametrize(
    ("sets", "node", "said"),
    [
        ('"" : 99', "Relu(x)", r"\(ai\.onnx 99\): Current official support .* till opset"),
        ('"" : 20, "nobody" : 1', "nobody.Foo(x)", r"\(ai\.onnx 20, nobody 1\).*Foo.* is not a registered"),
        ('"" : 11', "Gelu(x)", "Gelu with domain_version of 11"),
    ],
)
def test_operators_of_another_version_are_named(tmp_path, out, sets, node, said):
    text = f"<ir_version: 10, opset_import: [{sets}]> g (float[n, 4] x) => (float[n, 4] y) {{ y = {node} }}"
    with pytest.raises(CaptureError, match=said) as caught:
        capture_onnx(write(tmp_path, onnx.parser.parse_model(text)), out)
    assert "export" in caught.value.fix
