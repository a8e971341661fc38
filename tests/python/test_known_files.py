"""The published weights that ctkd knows by their contents are those that torchvision publishes."""
import os
import re
from pathlib import Path

ROW = re.compile(r'\{ "([0-9a-f]{8})", "(\w+)", "(\w+)(, legacy)?", ([0-9.]+), ([0-9.]+), (\d+) \},')


def test_the_table_is_that_of_torchvision(torchvision):
    models = torchvision.models
    rows = ROW.findall(Path(os.environ["CTKD_SOURCE"], "src/weights/known_files.c").read_text())
    assert len({row[0] for row in rows}) == len(rows) > 20
    today = {row[1:3]: row[0] for row in rows if not row[3]}
    for digits, network, weights, legacy, top1, top5, resize in rows:
        published = models.get_model_weights(network)[weights]
        accuracies, view = published.meta["_metrics"]["ImageNet-1K"], published.transforms()
        assert (float(top1), float(top5)) == (accuracies["acc@1"], accuracies["acc@5"]), network
        assert (int(resize), 224) == (view.resize_size[0], view.crop_size[0]), network
        assert legacy or published.url.rsplit("-", 1)[1].startswith(digits), network
    for network in {row[1] for row in rows}:
        for published in models.get_model_weights(network):
            assert (network, published.name) in today
