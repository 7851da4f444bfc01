"""Steps: what one step of training asks of F_id and of F_ex, and how it moves them. Knows no clock and no folder.

Latents are trained as tables beside the networks (auto-decoders, arXiv 1901.05103); F_ex sees a frozen F_id.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engines.parametric.architecture import FULL, SMALL, Architecture
from engines.parametric.deform import Deformation
from engines.parametric.network import Identity
from engines.parametric.train import losses, normal_maps
from engines.parametric.train.adversary import Adversary
from engines.parametric.train.dataset import Heads
from engines.parametric.train.losses import EXPRESSION_WEIGHTS, Sampled, Weights

THESIS = replace(FULL, batch_norm=False, reach=SMALL.reach)
"""The thesis' sizes as trained here: normalised by group, since batches are smaller than statistics need, with a cube no larger
than heads."""

SETTLED = 0.5
"Of an identity's training after which the discriminator joins."


@dataclass(frozen=True)
class Plan:
    """How long and how fast. Minutes are a core's own, whoever else has it in between; on a GPU, the clock's."""

    identity_minutes: float = 12.0
    expression_minutes: float = 6.0
    people: int = 16
    "Of a step."
    face: int = 320
    "Points of a step on each face, and so on."
    rest: int = 160
    near: int = 128
    far: int = 64
    deep: int = 32
    pairs: int = 320
    rate: float = 1.5e-3
    "AdamW's, of the networks: constant for the first half, then falling to a fiftieth along a cosine."
    code_rate: float = 3e-3
    "SparseAdam's, of the latents; identities' falls to 0 by half of the training: the network then learns what does not move."
    clip: float = 1.0
    z_noise: float = 0.15
    "Of each latent's spread, added to identities while F_ex learns, so that it bears identities that were fitted."
    map_side: int = 32
    "Pixels of normal maps, where those are trained on: 64 on a GPU."
    maps: int = 2
    "Of a step."
    discriminator: float = 0.25
    "Share of pi-GAN's channels."
    weights: Weights = field(default_factory=Weights)
    seed: int = 0


@dataclass
class Trained:
    """Networks with the tables of latents that they were trained with."""

    identity: Identity
    deformation: Deformation
    people: Tensor
    "[P, Z]."
    expressions: Tensor
    "[X, E], one code for each named expression, the same for everybody."
    expression_names: list[str] = field(default_factory=list)


class Learner:
    """The networks, their latents and what moves them."""

    def __init__(self, heads: Heads, arch: Architecture = SMALL, plan: Plan = Plan(), device: str = "cpu") -> None:
        torch.manual_seed(plan.seed)
        self.heads, self.plan, self.device = heads, plan, torch.device(device)
        self.identity, self.deformation = Identity(arch).to(self.device), Deformation(arch).to(self.device)
        self.people = _table(heads.people, arch.z_id, 0.1, heads.codes(arch.z_id)).to(self.device)
        self.expressions = _table(len(heads.expressions), arch.z_ex, 0.3).to(self.device)
        self.rng = np.random.default_rng(plan.seed)
        self.adversary = Adversary(plan.discriminator, self.device)
        self._optimisers = {
            "identity": _optimisers(nn.ModuleList([self.identity, self.adversary.blur]), self.people, plan),
            "expression": _optimisers(self.deformation, self.expressions, plan),
        }

    @property
    def trained(self) -> Trained:
        """The networks and codes as they are now, ready to be asked."""
        return Trained(
            self.identity.eval(),
            self.deformation.eval(),
            self.people.weight.detach(),
            self.expressions.weight.detach(),
            self.heads.expressions,
        )

    def identity_step(self, done: float = 0.0) -> dict[str, float]:
        """One step of F_id and its latents, after this share of their training; returns its terms."""
        plan, self.identity.training = self.plan, True
        who = self.rng.choice(self.heads.people, min(plan.people, self.heads.people), replace=False)
        z = self.people(self._tensor(who))
        planes = self.identity.planes(z)
        terms = losses.identity_terms(self.identity, planes, z, self._sampled(who))
        if plan.weights.planes:
            terms["planes"] = losses.plane_variation(planes)
        if plan.weights.density:
            terms["density"] = losses.density_variation(self.identity, planes)
        if plan.weights.normal_maps or plan.weights.adversary:
            terms |= self._map_terms(who[: plan.maps], planes[: plan.maps], done > SETTLED)
        self._descend("identity", self.identity, losses.total(terms, asdict(plan.weights)), done)
        return {name: term.item() for name, term in terms.items()}

    def _map_terms(self, who: np.ndarray, planes: Tensor, settled: bool) -> dict[str, Tensor]:
        """Rendered maps of the step's first heads against their true ones; and, once the 3D losses have settled, what the
        discriminator makes of maps of drawn identities, after a step of its own."""
        plan, weights, beta = self.plan, self.plan.weights, self.adversary.blur()
        looks = normal_maps.drawn(len(who), plan.map_side, self.rng)
        real = self.heads.normal_maps(who, looks).to(self.device)
        terms: dict[str, Tensor] = {}
        if weights.normal_maps:
            rendered = normal_maps.of_network(self.identity, planes, looks, beta)
            terms["normal_maps"] = (rendered - real).abs().mean()
        if weights.adversary and settled:
            drawn = self.identity.planes(self._drawn_codes(len(who)))
            fake = normal_maps.of_network(
                self.identity, drawn, normal_maps.drawn(len(who), plan.map_side, self.rng), beta
            )
            self.adversary.learn(fake, real)
            terms["adversary"] = self.adversary.asked(fake)
        return terms

    def _drawn_codes(self, count: int) -> Tensor:
        """[count, Z] between two people of the table each, as far from both as they like."""
        pairs = self._tensor(self.rng.integers(0, self.heads.people, (2, count)))
        share = torch.rand(count, 1, device=self.device)
        return (share * self.people.weight[pairs[0]] + (1 - share) * self.people.weight[pairs[1]]).detach()

    def expression_step(self, done: float = 0.0) -> dict[str, float]:
        """One step of F_ex and its latents, likewise."""
        plan = self.plan
        who = self.rng.choice(self.heads.people, min(plan.people, self.heads.people), replace=False)
        which = self.rng.integers(0, len(self.heads.expressions), len(who))
        rest, posed = (self._tensor(part) for part in self.heads.pairs(who, which, plan.pairs, self.rng))
        still = (torch.rand(len(who), plan.far // 2, 3, device=self.device) * 2 - 1) * self.identity.arch.reach
        with torch.no_grad():
            z = self.people.weight[self._tensor(who)]
            z = z + plan.z_noise * self.people.weight.std(0) * torch.randn_like(z)
        codes = self.expressions(self._tensor(which))
        moved = self.deformation.displacement(torch.cat((rest, still), 1), z, codes)
        terms = losses.expression_terms(moved[:, : plan.pairs], rest, posed, moved[:, plan.pairs :], codes)
        self._descend("expression", self.deformation, losses.total(terms, EXPRESSION_WEIGHTS), done)
        return {name: term.item() for name, term in terms.items()}

    def state(self) -> dict[str, Any]:
        """All of it as tensors and plain values."""
        return {
            "networks": [network.state_dict() for network in self._networks],
            "tables": [self.people.state_dict(), self.expressions.state_dict()],
            "optimisers": {part: [one.state_dict() for one in pair] for part, pair in self._optimisers.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """What `state` gave. Raises what torch does where it is of other sizes."""
        for module, tensors in zip(self._networks, state["networks"], strict=True):
            module.load_state_dict(tensors)
        for table, tensors in zip((self.people, self.expressions), state["tables"], strict=True):
            table.load_state_dict(tensors)
        for part, pair in self._optimisers.items():
            for one, kept in zip(pair, state["optimisers"][part], strict=True):
                one.load_state_dict(kept)

    @property
    def _networks(self) -> list[nn.Module]:
        return [self.identity, self.deformation, self.adversary.discriminator, self.adversary.blur]

    def _set_rates(self, part: str, done: float) -> None:
        """The rates that hold when this share of a part's training is done."""
        share = 1.0 if done < 0.5 else 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * (done - 0.5) / 0.5))
        of_codes = max(1 - 2 * done, 0.0) if part == "identity" else share
        rates = self.plan.rate * share, self.plan.code_rate * of_codes
        for optimiser, rate in zip(self._optimisers[part], rates, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = rate

    def _descend(self, part: str, network: nn.Module, loss: Tensor, done: float) -> None:
        """One step of each of the part's optimisers down `loss` []."""
        self._set_rates(part, done)
        for optimiser in self._optimisers[part]:
            optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), self.plan.clip)
        for optimiser in self._optimisers[part]:
            optimiser.step()

    def _sampled(self, who: np.ndarray) -> Sampled:
        """Points of the heads `who` [B] for one step."""
        plan, reach = self.plan, self.identity.arch.reach
        surface, facing = (self._tensor(part) for part in self.heads.surface(who, plan.face, plan.rest, self.rng))
        near = surface[:, :: max(surface.shape[1] // plan.near, 1)][:, : plan.near]
        near = near + 0.02 * torch.randn_like(near)
        far = (torch.rand(len(who), plan.far, 3, device=self.device) * 2 - 1) * reach
        return Sampled(surface, facing, near, far, *losses.deep_points(surface, facing, plan.deep))

    def _tensor(self, array: np.ndarray) -> Tensor:
        """Of the same shape, float32 where it is of floats, on the device."""
        kept = array.astype(np.float32) if array.dtype.kind == "f" else array
        return torch.from_numpy(np.ascontiguousarray(kept)).to(self.device)


def _table(rows: int, numbers: int, length: float, start: np.ndarray | None = None) -> nn.Embedding:
    """[rows, numbers] latents, of about this length at first, or `start`."""
    table = nn.Embedding(rows, numbers, sparse=True)
    nn.init.normal_(table.weight, 0, length / numbers**0.5)
    if start is not None:
        with torch.no_grad():
            table.weight.copy_(torch.from_numpy(start))
    return table


def _optimisers(
    network: nn.Module, table: nn.Embedding, plan: Plan
) -> tuple[torch.optim.Optimizer, torch.optim.Optimizer]:
    return (
        torch.optim.AdamW(network.parameters(), lr=plan.rate, weight_decay=1e-4),
        torch.optim.SparseAdam(list(table.parameters()), lr=plan.code_rate),
    )
