"""Slow, obvious low-rank correction: one epoch at a time, full decompositions."""

from __future__ import annotations

import itertools

import numpy as np

FLAT, TAPER, GRID = 8, 24, 1024
HALO = FLAT + TAPER


def window(n_samples):
    ramp = 0.5 - 0.5 * np.cos(np.pi * (np.arange(TAPER) + 0.5) / TAPER)
    return np.concatenate([ramp, np.ones(n_samples + 2 * FLAT), ramp[::-1]])


def spectrum(x, onset, n_samples, n_fft):
    """Transform of one epoch with its surroundings, moved to begin at its onset."""
    first = int(np.floor(onset + 0.5))
    part = onset - first
    piece = x[first - HALO : first + n_samples + HALO] * window(n_samples)
    return np.fft.rfft(piece, n_fft) * turn(part, n_fft)


def turn(part, n_fft):
    factors = np.exp(2j * np.pi * np.fft.rfftfreq(n_fft) * part)
    if n_fft % 2 == 0:
        factors[-1] = np.cos(np.pi * part)
    return factors


def find_amplitudes(high, n_samples, n_fft, near, max_courses):
    """Courses by full singular value decompositions of whitened spectra."""
    n_epochs, n_freqs = high.shape
    high = high - high.mean(axis=0)
    high = np.stack([high.real, high.imag], axis=2).reshape(n_epochs, -1)
    n_free = n_samples * n_freqs / (n_fft // 2 + 1)
    edge = 2.0 * n_freqs / n_free * (np.sqrt(n_epochs) + np.sqrt(n_free)) ** 2
    weights, found = np.ones(n_epochs), np.zeros((n_epochs, 0))
    some = slice(None, None, max(1, 2 * n_freqs // 64))
    settled, before = False, np.zeros(n_freqs)
    for i in range(5):
        rest = residual(weights[:, None] * high, found)
        power = np.square(rest).reshape(n_epochs, -1, 2).sum(axis=2)
        noise = np.median(power[:: max(1, n_epochs // 120)], axis=0) / np.log(2)
        noise *= n_epochs / (n_epochs - found.shape[1] - 1)
        noise = np.maximum(noise, 0.01 * np.median(noise[near]))
        white = high / np.repeat(np.sqrt(noise), 2)
        last = settled
        change = np.abs(1 / np.sqrt(noise) - before) * np.sqrt(noise)
        settled = settled or i == 3 or np.mean(change > 0.05) <= 0.5
        before = 1 / np.sqrt(noise)
        if settled:
            level = np.sqrt(np.median(residual(weights[:, None] * white, found)[:, some] ** 2, 1))
            loud = np.maximum(1.0, level / np.median(level) / weights)
            weights = 1.0 / np.where(loud < 1.5, 1.0, loud)
        u, s, _ = np.linalg.svd(weights[:, None] * white, full_matrices=False)
        n_found = min(int(np.sum(s**2 > edge)), max_courses, n_epochs // 4)
        found = u[:, predict(weights[:, None] * white, u[:, :n_found])]
        if last:
            break
    return np.hstack([np.ones((n_epochs, 1)), found / weights[:, None]]), weights


def residual(y, amplitudes):
    return y - amplitudes @ (amplitudes.T @ y)


def predict(y, courses):
    """Numbers of the courses that predict each eighth of the frequencies from the other ones."""
    n, n_freqs = len(y), y.shape[1] // 2
    edges = [2 * int(i * n_freqs / 8) for i in range(9)]
    kept = []
    for number, u in enumerate(courses.T):
        ratios = []
        for a, b in itertools.pairwise(edges):
            outside = [j for j in range(y.shape[1]) if not a <= j < b]
            guess = y[:, outside] @ (u @ y[:, outside])
            energy = np.sum(guess**2 * np.sum(y[:, a:b] ** 2, axis=1))
            ratios.append(np.sum((guess @ y[:, a:b]) ** 2) / energy)
        if np.median(ratios) > max(3.0, 0.008 * n) and 1 / np.sum(u**4) >= 0.015 * n:
            kept.append(number)
        y = y - np.outer(u, u @ y)
    return kept


def correct(x, onsets, n_samples, sfreq, n_fft, max_courses, shrinkage):
    """Corrected signal; all epochs must lie within the recording, one after another."""
    onsets = np.rint(np.asarray(onsets) * GRID) / GRID
    differences = np.zeros_like(x)
    for i in range(1, len(x) - 1):
        differences[i] = x[i - 1] - 2 * x[i] + x[i + 1]
    freqs = np.fft.rfftfreq(n_fft, 1 / sfreq)
    edge_hz = min(70.0, 0.16 * sfreq)
    band = (freqs >= edge_hz) & (freqs < 0.499 * sfreq)
    high = np.array([spectrum(differences, t, n_samples, n_fft)[band] for t in onsets])
    high /= 2 * np.cos(2 * np.pi * freqs[band] / sfreq) - 2
    near = freqs[band] < 2 * freqs[band][0]
    amplitudes, weights = find_amplitudes(high[1:-1], n_samples, n_fft, near, max_courses)
    amplitudes = amplitudes[[0, *range(len(amplitudes)), -1]]  # the ends take their neighbours'
    weights = np.concatenate([[0.0], weights, [0.0]])[:, None]
    n_fast = amplitudes.shape[1]
    detrended = x - trend(x, onsets, n_samples, sfreq)
    spectra = np.array([spectrum(detrended, t, n_samples, n_fft) for t in onsets])
    low = freqs < edge_hz
    if shrinkage and max_courses:
        n_free = low.sum() * n_samples / (n_fft // 2 + 1)
        length_s = (np.floor(onsets[-1] + 0.5) - np.floor(onsets[0] + 0.5) + n_samples) / sfreq
        slow = find_slow(spectra[:, low], amplitudes, weights, n_free, length_s)
        amplitudes = np.hstack([amplitudes, slow])
    amplitudes = amplitudes @ np.linalg.inv(np.linalg.qr(amplitudes * weights)[1])
    waveforms = (weights**2 * amplitudes).T @ spectra
    waveforms[n_fast:, freqs >= edge_hz] = 0.0  # slow amplitudes are for what is below
    if shrinkage:
        rest = spectra - amplitudes @ waveforms
        noise = np.sum(np.abs(weights * rest) ** 2, axis=0)
        noise /= np.sum(weights**2) - amplitudes.shape[1]
        for r in range(len(waveforms)):
            level = noise.copy()
            level[freqs < edge_hz] = beside(rest, (weights**2 * amplitudes)[:, r], noise)[
                freqs < edge_hz
            ]
            waveforms[r] = shrink(waveforms[r], level, n_samples, n_fft, shrinkage)
    return subtract(x, amplitudes @ waveforms, onsets, n_samples, n_fft)


def find_slow(low, courses, weights, n_free, length_s):
    """Slow courses: sums of half cosines that stand out of noise in what other courses leave."""
    n = len(low)
    n_cosines = min(int(length_s / 4.0), n // 10)
    slow = np.zeros((n, 0))
    if n_cosines < 2:
        return slow
    turns = np.outer(np.arange(n) + 0.5, np.arange(1, 2 * n_cosines + 1))
    cosines = np.sqrt(2.0 / n) * np.cos(np.pi * turns / n)
    for _ in range(7):
        every = np.hstack([courses, slow])
        waves = np.linalg.lstsq(weights * every, weights * low, rcond=None)[0]
        rest = low - courses @ waves[: courses.shape[1]]
        found = cosines.T @ (weights**2 * rest)
        noise = np.mean(np.abs(found[n_cosines:]) ** 2, axis=0)
        white = found[:n_cosines] / np.sqrt(noise)
        left, values, _ = np.linalg.svd(np.hstack([white.real, white.imag]))
        edge = len(noise) / n_free * (np.sqrt(n_cosines) + np.sqrt(n_free)) ** 2
        slow = cosines[:, :n_cosines] @ left[:, : np.sum(values**2 > 2.0 * edge)]
        if not slow.shape[1]:
            break
    return slow


def trend(x, onsets, n_samples, sfreq):
    """Straight lines between means from onset to onset."""
    apart = max(1, round(0.1 * sfreq / n_samples))
    ends = np.append(onsets, onsets[-1] + n_samples)[::apart]
    sums = np.concatenate([[0.0], np.cumsum(x)])
    at = np.interp(ends, np.arange(len(sums)), sums)
    middles = (ends[1:] + ends[:-1]) / 2 - 0.5
    return np.interp(np.arange(len(x)), middles, np.diff(at) / np.diff(ends))


def beside(rest, course, noise):
    """Noise at the frequencies of a course turned by some cycles, where it is larger."""
    k = np.arange(len(course)) / len(course)
    powers = [
        np.abs((course * np.exp(2j * np.pi * cycles * k)) @ rest) ** 2
        for cycles in (-8, -7, -6, -5, -4, -3, -2, 2, 3, 4, 5, 6, 7, 8)
    ]
    return np.maximum(noise, np.mean(powers, axis=0))


def shrink(waveform, noise, n_samples, n_fft, shrinkage):
    """Take away what is not above the noise at the lines of the artifact's own period."""
    inner = np.fft.irfft(waveform, n_fft)[HALO : HALO + n_samples]
    lines = np.fft.rfft(inner)
    at = np.arange(len(lines)) * n_fft / n_samples
    level = np.interp(at, np.arange(len(noise)), noise) * n_samples / np.sum(window(n_samples) ** 2)
    kept = np.maximum(0.0, 1.0 - shrinkage * level / np.abs(lines) ** 2)
    lost = np.fft.irfft((1 - kept) * lines, n_samples)
    around = np.array([lost[i % n_samples] for i in range(-HALO, n_samples + HALO)])
    return waveform - np.fft.rfft(around * window(n_samples), n_fft)


def subtract(x, templates, onsets, n_samples, n_fft):
    """Subtract each template over its own time, up to the next onset."""
    out = x.copy()
    for k, onset in enumerate(onsets):
        first = int(np.floor(onset + 0.5))
        wave = np.fft.irfft(templates[k] * turn(first - onset, n_fft), n_fft)
        end = onset + n_samples
        if k + 1 < len(onsets):
            end = min(end, onsets[k + 1])
        for i in range(first - HALO, first + n_samples + HALO):
            share = min(i + 0.5, end) - max(i - 0.5, onset)
            if share > 0:
                out[i] -= share * wave[i - first + HALO]
    return out
