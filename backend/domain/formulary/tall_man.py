"""Tall man letters: names that are mistaken for each other, written so that their difference stands out.

Source: the FDA's and ISMP's lists of look-alike drug names with recommended tall man letters.
"""

import re

_LISTED = """
acetaZOLAMIDE acetoHEXAMIDE ALPRAZolam aMILoride amLODIPine ARIPiprazole azaCITIDine azaTHIOprine buPROPion busPIRone
carBAMazepine CARBOplatin ceFAZolin cefoTEtan cefOXitin cefTAZidime cefTRIAXone chlordiazePOXIDE chlorproMAZINE
chlorproPAMIDE CISplatin clomiPHENE clomiPRAMINE clonazePAM cloNIDine cloZAPine cycloSERINE cycloSPORINE DACTINomycin
DAPTOmycin DAUNOrubicin dexAMETHasone dexmedeTOMIDine diazePAM dilTIAZem dimenhyDRINATE diphenhydrAMINE DOBUTamine
DOCEtaxel DOPamine DOXOrubicin DULoxetine ePHEDrine EPINEPHrine epiRUBicin eriBULin fentaNYL FLUoxetine fluPHENAZine
fluvoxaMINE glipiZIDE glyBURIDE guaiFENesin guanFACINE hydrALAZINE HYDROchlorothiazide HYDROcodone HYDROmorphone
hydrOXYzine IDArubicin inFLIXimab ketAMINE ketOROLAC lamiVUDine lamoTRIgine levETIRAcetam levOCARNitine levoFLOXacin
LORazepam medroxyPROGESTERone metFORMIN methylPREDNISolone methylTESTOSTERone metroNIDAZOLE miFEPRIStone miSOPROStol
mitoMYcin mitoXANTRONE niCARdipine NIFEdipine niMODipine OLANZapine OXcarbazepine oxyCODONE oxyMORphone PACLitaxel
PARoxetine PAZOPanib PENTobarbital PHENobarbital PONATinib prednisoLONE predniSONE QUEtiapine quiNIDine quiNINE
RABEprazole raNITIdine riMANTAdine risperiDONE riTUXimab romiDEPsin romiPLOStim rOPINIRole SAXagliptin SITagliptin
SUFentanil sulfADIAZINE sulfaSALAzine SUMAtriptan tiaGABine tiZANidine TOLAZamide TOLBUTamide traMADol traZODone
valACYclovir valGANciclovir vinBLAStine vinCRIStine ZOLMitriptan
"""
_NAMES = {name.lower(): name for name in _LISTED.split()}
_WORD = re.compile(r"[^\W\d_]+")


def tall_man(name: str) -> str:
    """The drug's name with the listed words of it in tall man letters; other words as they are."""
    return _WORD.sub(lambda word: _NAMES.get(word[0].lower(), word[0]), name)
