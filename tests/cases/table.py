"""Every case of ``../shared/cases``: its kind, what is right, and the tests of further inputs.

A case is a program; its check reads what the program prints, and, after each run of a pipeline,
what that run told (:mod:`tests.cases.watch`). The tests that are named have other inputs of the
same kind, at least two of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

#: A number in what a program prints.
_NUMBER = r"(-?\d+(?:\.\d+)?(?:e-?\d+)?|nan)"


class Printed:
    """What a case printed: the lines of the program, and what each run told."""

    def __init__(self, text: str) -> None:
        lines = text.splitlines()
        self.told = [set(line.split()[1:]) for line in lines if line.startswith("told:")]
        self.lines = [line for line in lines if not line.startswith("told:")]

    def find(self, pattern: str) -> list[float]:
        """Return the numbers at each ``#`` of a pattern, in order; at least one."""
        found = re.findall(pattern.replace("#", _NUMBER), "\n".join(self.lines))
        assert found, f"{pattern!r} is not in {self.lines}"
        flat = [v for each in found for v in ((each,) if isinstance(each, str) else each)]
        return [float(v) for v in flat]

    def count(self, text: str) -> int:
        """Return the number of lines with a text."""
        return sum(text in line for line in self.lines)

    def tells(self, run: int, *codes: str) -> bool:
        """Whether a run told one of some codes."""
        return bool(self.told[run] & set(codes))


@dataclass(frozen=True)
class Case:
    """A case.

    Attributes
    ----------
    kind : str
        The kind of fault.
    is_settled : callable
        Whether what the program printed is right, or a finding named the cause.
    tests : tuple of str
        Tests of further inputs of this kind, ``file::function`` below ``tests/``.
    needs : str
        Program or package without which the case cannot run; empty if none.
    stops : str
        Part of the error that ends the program, where that is right; empty if none does.
    """

    kind: str
    is_settled: Callable[[Printed], bool]
    tests: tuple[str, ...]
    needs: str = ""
    stops: str = ""


def _holds_jitter(p: Printed) -> bool:
    before, after = p.find("before #, after #")[::2], p.find("before #, after #")[1::2]
    rows = zip(before, after, p.told, strict=False)
    return all(b < a or "alignment_at_edge" in told for a, b, told in rows)


def _follows_folders(p: Printed) -> bool:
    checkpoints = p.count("relative checkpoint in sub-01 : True") + p.count("sub-02 : True")
    right = "corrected: True | in sub-01/corrected: False"
    return p.count("equals n_jobs=1: True") == 2 and p.count(right) == 1 and checkpoints == 2


def _keeps_files(p: Printed) -> bool:
    kept = all(p.count(f"'{name}'") for name in ("stage-sleep_N2.f64", "trial-01.f64.bak"))
    intact = p.count("thesis.txt now begins with b'precious'") == 1
    return kept and intact and p.count("3. True") == 1


def _defaults_do_no_harm(p: Printed) -> bool:
    own, pca, anc, average, standard, farm, between = p.find("SNR +# dB")
    behind = min(pca, anc) > own - 0.5 and between > farm - 0.5
    # The standard chain takes what lies below 1 Hz as well.
    return behind and standard > average - 2.0 and min(p.find("alpha kept #")) > 0.9


def _keeps_beats(p: Printed) -> bool:
    error_uv, few_uv = p.find("error of the ECG #")
    return error_uv < 10 * few_uv and max(p.find("ms off: #")) == 0


def _agrees_on_ecg(p: Printed) -> bool:
    snr_db, left_uv = p.find("EEG SNR # dB"), p.find("afterwards #")
    pairs = zip(snr_db[::2], snr_db[1::2], strict=True)
    return all(abs(a - b) < 0.1 for a, b in pairs) and left_uv[::2] == left_uv[1::2]


def _has_no_loss_by_markers(p: Printed) -> bool:
    snr_db = p.find("SNR +# dB")
    return all(min(own) > own[0] - 1.0 for own in (snr_db[:4], snr_db[4:]))


def _is_as_good_with_bursts(p: Printed) -> bool:
    eeg_db, gamma_db = p.find(": +# dB \\(0.5-70"), p.find("70 Hz\\), +# dB")
    right = eeg_db[3] > eeg_db[4] - 0.5 and gamma_db[3] > gamma_db[4] - 0.5
    return right or (eeg_db[3] > 29 and p.tells(3, "bursts"))


def _follows_changes(p: Printed) -> bool:
    own_db, average_db = p.find("correction +# dB")[-1], p.find("of 30 +# dB")[-1]
    word = ("slow_residual", "slow_band_residual", "locked_residual")
    return own_db > average_db - 0.1 or p.tells(-2, *word)


def _takes_a_net_mean(p: Printed) -> bool:
    snr_db = p.find("SNR +# dB")
    right = snr_db[2] > 20 and snr_db[5] > 20
    return right or all(p.tells(run, "locked_residual", "locked_to_volumes") for run in (2, 5))


def _corrects_all_volumes(p: Printed) -> bool:
    whole_db = p.find("whole scan +# dB")
    told = all(p.tells(run, "artifact_unmarked", "unmarked_corrected") for run in (1, 2))
    return min(whole_db) > 20 and told


def _leaves_out_doubles(p: Printed) -> bool:
    pairs = zip(p.find("SNR # dB"), p.find("single markers # dB"), strict=True)
    told = all(p.tells(run, "triggers_doubled") for run in (1, 3, 5))
    return all(abs(a - b) < 0.5 for a, b in pairs) and told


def _refuses_task_codes(p: Printed) -> bool:
    refused, right = p.lines[-2:]
    return "rc 0" not in refused and "R128" in refused and "rc 0" in right


def _is_the_same_in_every_mode(p: Printed) -> bool:
    return p.count("channels that differ") == p.count("channel_sequential: [] serial/parallel: []")


def _chooses_another_reference(p: Printed) -> bool:
    good, own, loose, loose_own = p.find("other channels #")
    told = all(p.tells(run, "reference_replaced") for run in (2, 3))
    return loose > good - 1.0 and loose_own > own - 1.0 and told


def _corrects_both_protocols(p: Printed) -> bool:
    both, alone = p.find("run 1 SNR # dB; run 2 SNR # dB"), p.find("that run alone: #")
    return all(a > b - 1.0 for a, b in zip(both, alone, strict=True)) and p.tells(0, "runs_apart")


def _tells_of_beats(p: Printed) -> bool:
    good, noisy = p.find("EEG SNR # dB")
    told = p.tells(1, "ecg_noisy", "beats_from_eeg") and p.tells(2, "gradient_left")
    return noisy > good - 2.0 and told and p.count("never corrected ->") == 1


#: All cases, by name.
CASES: dict[str, Case] = {
    "align_beyond_window": Case(
        "a search that ends at the edge of its window is used as found",
        _holds_jitter,
        ("preprocessing/test_trigger_checks.py::test_alignment_beyond_the_window",),
    ),
    "chdir_workers_stay": Case(
        "workers of an earlier run do not have the state of their caller",
        _follows_folders,
        (
            "faults/test_caller_state.py::test_each_call_sees_the_state_of_its_caller",
            "faults/test_caller_state.py::test_relative_paths_of_inputs_outputs_and_checkpoints",
        ),
    ),
    "checkpoint_folder_of_others": Case(
        "a folder of the user's is treated as ours",
        _keeps_files,
        (
            "faults/test_checkpoint.py::test_files_of_others_are_kept",
            "faults/test_checkpoint.py::test_links_are_not_followed",
            "faults/test_checkpoint.py::test_journal_with_strange_lines",
        ),
    ),
    "defaults_that_harm": Case(
        "defaults from chains in which the artifact was still there",
        _defaults_do_no_harm,
        (
            "correction/test_defaults.py::test_a_second_step_is_not_worse_than_none",
            "correction/test_defaults.py::"
            "test_components_of_the_standard_chain_leave_alpha_at_the_slice_rate",
            "correction/test_defaults.py::"
            "test_similar_epochs_between_samples_are_not_worse_than_at_samples",
        ),
    ),
    "ecg_quiet_rings": Case(
        "a quiet channel rings with what its noise does not bound",
        _keeps_beats,
        (
            "correction/test_everyday.py::test_an_ecg_without_noise_keeps_its_beats_and_does_not_ring",
            "evaluation/test_told_or_right.py::test_a_quiet_channel_that_rings",
        ),
    ),
    "ecg_typed_eeg": Case(
        "a name says ECG, a type says EEG, and steps disagree",
        _agrees_on_ecg,
        (
            "core/test_breaks.py::test_an_ecg_is_one_by_name_for_all_steps",
            "core/test_breaks.py::test_kind_of",
        ),
    ),
    "edf_discontinuous": Case(
        "a file says that its time has gaps, and nobody reads it",
        lambda p: p.count("EDF+C success True") == 1 and p.count("EDF+D success True") == 0,
        ("io/test_units.py::test_a_discontinuous_file_is_refused",),
        stops="this EDF+D file has gaps in time",
    ),
    "edf_rate_remedy": Case(
        "a remedy that nobody tried",
        lambda p: p.count("Write .fif or .vhdr") == 1 and p.count("Put Resample") == 0,
        (
            "io/test_writers.py::test_edf_names_a_remedy_that_works",
            "preprocessing/test_resampling.py::test_the_rate_that_is_named_works",
        ),
    ),
    "fif_text_beyond_latin1": Case(
        "a remedy is what just failed",
        lambda p: p.count("Write .fif") == 0 and p.count("Rename") == 2,
        ("io/test_writers.py::test_fif_names_what_it_cannot_hold",),
    ),
    "filters_over_boundaries": Case(
        "a step works across breaks in time",
        lambda p: p.find("MNE #")[0] == p.find("facet_nb #")[0],
        ("core/test_breaks.py::test_filters_stop_at_breaks_as_mne_does",),
    ),
    "gradient_bursts_become_courses": Case(
        "what is learnt from few loud epochs is not cross-validated",
        _is_as_good_with_bursts,
        (
            "correction/test_everyday.py::test_muscle_bursts_are_no_courses",
            "evaluation/test_told_or_right.py::test_muscles",
        ),
    ),
    "gradient_extra_marker": Case(
        "markers that are known to be wrong are used",
        _has_no_loss_by_markers,
        (
            "correction/test_everyday.py::test_wrong_markers_cost_nothing_and_are_told",
            "preprocessing/test_trigger_checks.py::test_stray_markers",
        ),
    ),
    "gradient_low_band_changes": Case(
        "what is not seen above 70 Hz is taken for constant",
        _follows_changes,
        (
            "evaluation/test_told_or_right.py::test_vibration_that_waxes_and_wanes",
            "evaluation/test_told_or_right.py::test_a_vibration_in_one_band_of_one_channel",
        ),
    ),
    "gradient_net_mean_left_in": Case(
        "what recurs with every volume is taken for drift",
        _takes_a_net_mean,
        (
            "correction/test_everyday.py::test_what_recurs_with_the_volume_is_no_drift",
            "correction/test_everyday.py::"
            "test_a_block_keeps_its_size_wherever_its_edge_falls_between_samples",
        ),
    ),
    "gradient_unmarked_volumes_stay": Case(
        "nothing looks outside the marked time",
        _corrects_all_volumes,
        (
            "correction/test_everyday.py::test_artifacts_outside_the_markers_are_corrected_and_told",
            "evaluation/test_told_or_right.py::test_artifact_outside_the_marked_time",
        ),
    ),
    "html_page_hides_the_result": Case(
        "a fallback is suppressed by what it is a fallback for",
        lambda p: p.count("hides on a page without a kernel") == 0,
        (
            "widgets/test_leaks.py::test_the_report_is_hidden_only_while_the_panel_is_connected",
            "notebooks/test_saved_notebooks.py::test_notebook_keeps_no_widget_state",
        ),
    ),
    "markers_each_doubled": Case(
        "markers nearer than two artifacts can be",
        _leaves_out_doubles,
        (
            "preprocessing/test_trigger_checks.py::test_both_edges_of_a_pulse",
            "preprocessing/test_trigger_checks.py::test_bounces",
        ),
    ),
    "markers_missing_unsaid": Case(
        "what the detector counts is not told",
        lambda p: p.tells(1, "triggers_missing") and not p.tells(0, "triggers_missing"),
        (
            "preprocessing/test_trigger_checks.py::test_missing_markers_are_told",
            "evaluation/test_told_or_right.py::test_missing_markers",
        ),
    ),
    "markers_task_code_taken_for_slice": Case(
        "triggers that are evidently wrong are used",
        _refuses_task_codes,
        ("preprocessing/test_trigger_checks.py::test_task_codes_are_refused",),
    ),
    "mode_float32_bad_channel": Case(
        "samples are rounded once per stage on one path, once per step on the other",
        _is_the_same_in_every_mode,
        ("contract/test_float32.py::test_same_answer",),
    ),
    "mode_reference_no_data_channel": Case(
        "two paths for rows that are not picked",
        lambda p: p.find("differ: # of") == [0.0] * p.count("triggers that differ"),
        ("core/test_modes.py::test_each_step_has_its_own_reference_channel",),
    ),
    "numba_no_cache_folder": Case(
        "a side effect of an accelerator is fatal",
        lambda p: p.count("] True") == 5,
        (
            "core/test_kernel_choice.py::test_runs_without_compiled_kernels_and_psutil",
            "kernels/test_library.py::test_without_a_library_the_reason_and_the_remedy_are_told",
        ),
        needs="numba",
    ),
    "parameters_wrong_before_run": Case(
        "a path asks steps before they have checked themselves",
        lambda p: p.find("parameters, # of them end") == [0.0],
        ("core/test_wrong_parameters.py::test_plan_and_runs_say_the_same",),
    ),
    "pulse_beats_evidently_wrong": Case(
        "evidence that a step holds is not told",
        _tells_of_beats,
        (
            "evaluation/test_told_or_right.py::test_beats_that_the_eeg_does_not_support",
            "evaluation/test_told_or_right.py::test_a_gradient_artifact_that_is_left",
        ),
    ),
    "raw_recording_overwritten": Case(
        "safety rules that live in one front end",
        lambda p: p.count("REPLACED") == 0 and p.count("raw file intact") == 2,
        (
            "io/test_originals.py::test_the_input_of_a_chain_is_kept",
            "io/test_originals.py::test_the_inputs_of_a_batch_are_kept",
        ),
        stops="which is an input",
    ),
    "reference_first_electrode_loose": Case(
        "a blind choice of the reference",
        _chooses_another_reference,
        (
            "correction/test_everyday.py::test_an_electrode_without_contact_is_no_reference",
            "evaluation/test_told_or_right.py::test_a_dead_reference",
        ),
    ),
    "runs_break_taken_for_missing": Case(
        "a break is explained as missing markers",
        lambda p: min(p.find("SNR # dB")) > 20 and p.find("runs #") == [2.0, 2.0, 2.0],
        (
            "preprocessing/test_trigger_checks.py::test_a_break_near_a_whole_number_of_distances",
            "evaluation/test_told_or_right.py::test_a_break_in_which_no_marker_is_missing",
        ),
    ),
    "runs_two_protocols": Case(
        "one length, template and clock for the whole file",
        _corrects_both_protocols,
        (
            "correction/test_everyday.py::test_each_sequence_is_corrected_by_itself",
            "evaluation/test_told_or_right.py::test_runs",
        ),
    ),
    "scratch_live_folder_swept": Case(
        "whether a process lives is judged by its number and a name",
        lambda p: p.count("A success True") == 2 and p.count("folder is there") == 2,
        (
            "core/test_store.py::test_folders_of_the_dead_are_swept",
            "core/test_store.py::test_a_folder_in_use_is_locked_and_private",
            "core/test_store.py::test_a_folder_that_is_swept_as_it_is_locked_is_made_again",
        ),
        needs="unshare",
    ),
    "scratch_vanished_is_cancelled": Case(
        "an absence is read as a signal, and a reason invented",
        lambda p: p.count("cancelled False") == 1 and p.count("removed while in use") == 1,
        (
            "core/test_store.py::test_a_folder_that_is_gone_is_not_a_full_disk",
            "faults/test_nothing_hangs.py::test_a_scratch_folder_that_vanishes_is_no_cancellation",
        ),
    ),
    "semaphores_cannot_be_made": Case(
        "the platform lacks a facility",
        lambda p: p.count("RAISED") == 0 and p.count("success") == 4,
        ("faults/test_nothing_hangs.py::test_no_semaphores",),
        needs="unshare",
    ),
    "step_wrong_shape_broadcast": Case(
        "the contract of an extension is not checked where extensions come in",
        lambda p: (p.count("refused: "), p.count("accepted, 1 different")) == (7, 1),
        ("faults/test_contract.py::test_wrong_arrays_are_one_error_everywhere",),
    ),
    "studio_reruns_leave_widgets": Case(
        "closing a widget is not closing its parts",
        lambda p: len(set(p.find("times: #")[1:])) == 1,
        (
            "widgets/test_leaks.py::test_a_retired_studio_leaves_no_widget",
            "widgets/test_leaks.py::test_a_retired_control_panel_leaves_no_widget",
        ),
    ),
    "tracker_noise_after_pools": Case(
        "workers are ended outside the view of what watches them",
        lambda p: p.count("[True, True]") == 1,
        ("faults/test_caller_state.py::test_nothing_is_said_after_runs_in_a_pool",),
    ),
    "trigger_regex_freezes": Case(
        "code that holds the interpreter's lock is outside of every limit",
        lambda p: p.count("ended after") == 2,
        (
            "preprocessing/test_searching.py::test_the_search_ends",
            "preprocessing/test_searching.py::test_expressions_that_may_never_end_are_recognised",
        ),
    ),
    "units_spelled_otherwise": Case(
        "channels are passed over",
        lambda p: p.count("['eeg', 'eeg']") == 3,
        (
            "io/test_units.py::test_spellings",
            "io/test_units.py::test_unknown_units_are_named",
        ),
    ),
}
