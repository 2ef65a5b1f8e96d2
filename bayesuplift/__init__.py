"""From experiment or campaign data to a decision, with posterior uncertainty carried to the end.

Every model answers one question, what the mean outcome would be under each arm; everything after that is arithmetic on
the posterior. Names are loaded when first used, so that reading a posterior never imports JAX.
"""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOME = {
    "Check": "data.checks",
    "Cells": "data.cells",
    "Design": "data.design",
    "Experiment": "data.experiment",
    "read_cells": "data.readers",
    "read_counts": "data.readers",
    "read_experiment": "data.readers",
    "read_effects": "data.effect_tables",
    "Effects": "data.effects",
    "Propensity": "identification.propensity",
    "propensity": "identification.propensity",
    "RatePrior": "priors",
    "ExchangeableRatesPrior": "priors",
    "NormalPrior": "priors",
    "RegressionPrior": "priors",
    "LogAmountPrior": "priors",
    "HurdlePrior": "priors",
    "CountPrior": "priors",
    "PortfolioPrior": "priors",
    "BinaryPoolingPrior": "priors",
    "NormalPoolingPrior": "priors",
    "CountPoolingPrior": "priors",
    "AmountPoolingPrior": "priors",
    "RevenuePoolingPrior": "priors",
    "HorseshoePrior": "priors",
    "ForestPrior": "priors",
    "ForestShape": "priors",
    "EffectPrior": "decisions.learned_prior",
    "fit": "inference.fit",
    "draw_prior": "inference.prior",
    "predict": "inference.predict",
    "load": "posterior.storage",
    "save": "posterior.storage",
    "diagnose": "posterior.diagnostics",
    "predictive_check": "posterior.predictive",
    "Economics": "estimands.value",
    "ate": "estimands.effects",
    "cate": "estimands.conditional",
    "compare_loo": "estimands.leave_one_out",
    "effect_spread": "estimands.heterogeneity",
    "effect_curves": "estimands.projection_curves",
    "effect_tree": "estimands.projection_tree",
    "gate": "estimands.conditional",
    "heterogeneity": "estimands.heterogeneity",
    "pairwise": "estimands.pairs",
    "shapley_values": "effect_shapley",
    "subgroups": "estimands.subgroups",
    "summarize": "estimands.summary",
    "unit_loo": "estimands.leave_one_out",
    "Choice": "decisions.choice",
    "choose_arm": "decisions.choice",
    "compare_proportions": "decisions.proportions",
    "BestArm": "decisions.targeting.rules",
    "Budget": "decisions.targeting.rules",
    "CVaR": "decisions.targeting.rules",
    "CredibleBound": "decisions.targeting.rules",
    "RiskAdjusted": "decisions.targeting.rules",
    "Threshold": "decisions.targeting.rules",
    "TopShare": "decisions.targeting.rules",
    "AtMost": "decisions.targeting.limits",
    "Never": "decisions.targeting.limits",
    "Policy": "decisions.targeting.policy",
    "assign": "decisions.targeting.policy",
    "target": "decisions.targeting.target",
    "policy_value": "decisions.targeting.evaluation",
    "summarize_value": "decisions.targeting.evaluation",
    "profit_by_share": "decisions.targeting.frontier",
    "risk_frontier": "decisions.targeting.frontier",
    "value_grid": "decisions.targeting.frontier",
    "budget_path": "decisions.targeting.spending",
    "segment_actions": "decisions.targeting.segment_actions",
    "buckets": "decisions.targeting.buckets",
    "PolicyTree": "decisions.trees.policy_tree",
    "policy_tree": "decisions.trees.policy_tree",
    "perfect_information": "decisions.information.perfect",
    "sample_information": "decisions.information.sample",
    "assurance": "decisions.information.assurance",
    "DeployedPolicy": "decisions.deployment.deployed_policy",
    "deploy": "decisions.deployment.deploy",
    "load_policy": "decisions.deployment.policy_file",
    "save_policy": "decisions.deployment.policy_file",
    "write_arms": "decisions.deployment.batches",
    "EffectLaw": "monitor.effect_law",
    "Plan": "monitor.plan",
    "Verdict": "decisions.verdict",
    "Report": "report.content",
    "Standards": "decisions.choice",
    "analyze": "workflow",
    "write_report": "report.render",
    "write_monitor_page": "report.monitor_page",
}
_MODULE_HOME = {
    "checks": "data.checks",
    "datasets": "data.datasets",
    "errors": "errors",
    "models": "models",
    "monitor": "monitor",
}

__all__ = sorted([*_HOME, *_MODULE_HOME])  # noqa: PLE0605 -- one table, not two lists to keep alike


def __getattr__(name: str) -> Any:
    """Import a public name from the module it lives in."""
    if name in _MODULE_HOME:
        return importlib.import_module(f"{__name__}.{_MODULE_HOME[name]}")
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Public names, for completion."""
    return [*__all__, "__version__"]
