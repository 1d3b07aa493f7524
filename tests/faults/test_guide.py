"""The page about long runs: its examples run, and its names exist."""

from __future__ import annotations

import re


def test_examples_run(project_root, tmp_path, monkeypatch, capsys):
    text = (project_root / "docs/long_runs.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 6
    monkeypatch.chdir(tmp_path)
    namespace: dict = {"__name__": "long_runs"}
    for block in blocks:
        exec(compile(block, "long_runs.md", "exec"), namespace)
    restored = int(re.search(r"(\d+) batches were restored", capsys.readouterr().out)[1])
    assert restored == len(namespace["context"].get_raw().ch_names) > 0
    assert namespace["result"].success
    assert all(result.success for result in namespace["batch"])
    assert {path.name for path in tmp_path.iterdir()} == {"night", "nights"}


def test_it_is_in_the_table_of_contents(project_root):
    index = (project_root / "docs/howto.md").read_text(encoding="utf-8")
    assert "(long_runs.md)" in index and "\nlong_runs\n" in index
